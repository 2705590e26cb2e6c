"""`lapd generate`: a generator's own options reach it, and nobody else's do."""

import json

import pytest

from lapd.files.whole import read_jsonl


def one_line(done):
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def axes(out):
    return {row["source"]["axis"] for _, row in read_jsonl(out)}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "pairs.jsonl"


def test_limit_is_another_name_for_pairs(invoke, out):
    assert json.loads(invoke("generate", "INFP", "--limit", 5, "-o", out, "--json").stdout)["pairs"] == 5


def test_a_single_pole_has_the_pairs_of_its_axis(invoke, out):
    assert json.loads(invoke("generate", "i", "-o", out, "--json").stdout) | {"digest": ""} == {
        "persona": "I", "pairs": 100, "file": str(out), "digest": ""
    }  # fmt: skip
    assert axes(out) == {"E/I"}


@pytest.mark.parametrize(("given", "found"), [((), 4), (("--axis", "S/N"), 1), (("--axis", "J/P", "--axis", "E/I"), 2)])
def test_contrast_takes_a_subset_of_the_axes(invoke, out, given, found):
    assert invoke("generate", "INFP", *given, "-o", out).exit_code == 0
    assert len(axes(out)) == found
    assert axes(out) >= set(given[1::2])


def test_an_axis_on_which_the_persona_takes_no_side_is_refused(invoke, out):
    assert "I takes no side on S/N." in one_line(invoke("generate", "I", "--axis", "S/N", "-o", out))
    assert not out.exists()


def test_an_option_of_another_generator_is_refused_with_its_name(invoke, out):
    line = one_line(invoke("generate", "INFP", "--model", "m", "-o", out))
    assert line.startswith("Error: --model is an option of the generator openai, not of contrast.")
    line = one_line(invoke("generate", "INFP", "--generator=openai", "--axis", "E/I", "-o", out))
    assert line.startswith("Error: --axis is an option of the generator contrast, not of openai.")


def test_an_option_of_nobody_is_refused_as_ever(invoke, out):
    done = invoke("generate", "INFP", "--colour", "red", "-o", out)
    assert done.exit_code == 2
    assert "No such option" in done.stderr


@pytest.mark.parametrize(("name", "own", "other"), [("contrast", "--axis", "--model"), ("openai", "--model", "--axis")])
def test_help_shows_the_chosen_generators_options(invoke, name, own, other):
    text = invoke("generate", "--generator", name, "--help").stdout
    assert f"Options of the generator {name}:" in text
    assert own in text
    assert other not in text


def test_a_dry_run_of_a_generator_that_asks_nobody_says_so(invoke, out):
    assert invoke("generate", "INFP", "--dry-run", "-o", out).stdout == "requests: 0\n"
    assert not out.exists()


CLASHING = """
import click
from types import SimpleNamespace
from lapd import hookimpl

@hookimpl
def lapd_register_generators(register):
    options = (click.Option(["--seed"]),)
    register(SimpleNamespace(name="clashing", description="x", options=options, generate=None))
"""


def test_an_option_that_lapd_has_itself_is_a_fault_of_the_plugin(lapd, make_distribution, out):
    site = make_distribution("clashing", CLASHING)
    done = lapd("generate", "INFP", "--generator", "clashing", "-o", out, env={"PYTHONPATH": str(site)})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Generator clashing declares --seed, which `lapd generate` has itself." in done.stderr
