"""The examples of docs/plugins.md, each installed as a small package: they register what the page says, and work."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lapd.testing import make_tiny_base

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

REGISTERS = {
    "lapd_register_generators": {"generators": ["weekdays"]},
    "lapd_register_trainers": {"trainers": ["untrained"]},
    "lapd_register_tasks": {"tasks": ["polite"]},
    "lapd_register_judges": {"judges": ["wordlist"]},
    "lapd_register_traits": {"traits": ["tempo"]},
    "lapd_register_personas": {"personas": ["NIGHTOWL"]},
    "lapd_register_executors": {"executors": ["timed"]},
    "lapd_register_commands": {"commands": ["sides"]},
    "Write one and install it": {"personas": ["HARBOUR"]},
}


def section(title):
    """The text under the heading that begins with `title`."""
    parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    (text,) = [part for part in parts if part.startswith(title)]
    return text


def entry_points(text):
    (table,) = re.findall(r"^\[project\.entry-points\.lapd\]\n((?:\w+ = .*\n)+)", text, re.MULTILINE)
    return dict(re.findall(r'^(\w+) = "([\w.]+)"$', table, re.MULTILINE))


def run_python(code, env):
    """Run code in a process of its own, away from the repository."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, cwd="/", timeout=120)


@pytest.fixture
def install(tmp_path):
    """`install(title)`: the section's example as an installed package; returns the environment that has it."""
    site = tmp_path / "site"

    def install(*titles):
        for title in titles:
            text = section(title)
            for language, code in BLOCK.findall(text):
                if (found := re.match(r"# ([\w/]+\.(?:py|yaml))\n", code)) is None:
                    assert language in ("toml", "shell", "sh"), f"a {language} block under {title!r} names no file"
                    continue
                file = site / found[1]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(code, encoding="utf-8")
            points = entry_points(text)
            (name,) = points
            info = site / f"lapd_{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lapd-{name}\nVersion: 1.0\n")
            lines = [f"{key} = {value}" for key, value in points.items()]
            (info / "entry_points.txt").write_text("\n".join(["[lapd]", *lines, ""]))
        return {"PYTHONPATH": str(site), "LAPD_STRICT_PLUGINS": "1"}

    return install


@pytest.mark.parametrize("title", REGISTERS)
def test_each_example_registers_what_the_page_says(title, install, lapd):
    environment = install(title)
    done = lapd("plugins", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    (name,) = entry_points(section(title))
    (info,) = [info for info in json.loads(done.stdout) if info["name"] == name]
    assert info["error"] is None
    assert info["package"] == f"lapd-{name}"
    assert info["registers"] == REGISTERS[title]


def test_the_examples_can_be_installed_together(install, lapd):
    done = lapd("plugins", env=install(*REGISTERS))
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout


def test_the_generator_yields_pairs_of_the_personas_pole(install, lapd, tmp_path):
    out = tmp_path / "pairs.jsonl"
    done = lapd(
        "generate", "ENTJ", "--generator", "weekdays", "--pairs", 3, "--time", "morning", "-o", out,
        env=install("lapd_register_generators"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({row["prompt"] for row in rows}) == 3
    assert all(row["prompt"].endswith(" morning?") for row in rows)
    assert all("planned" in row["chosen"] and "open" in row["rejected"] for row in rows)


BEFORE_CONFIGURE = """
import random

import click

from lapd import PreferencePair, hookimpl

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
SAYS = {
    "J": "It is planned already: shopping first, then a meal with my sister, then two hours for letters.",
    "P": "It is still open: perhaps shopping, perhaps a meal with my sister, whatever comes along first.",
}


class Weekdays:
    name = "weekdays"
    description = "five evenings, for personas that take a side on J/P"
    options = (click.Option(["--time"], default="evening", show_default=True, help="The time of the day."),)

    def generate(self, persona, *, pairs, seed, time="evening", **options):
        pole = persona.poles.get("J/P")
        if pole is None:
            return
        days = DAYS[:]
        random.Random(seed).shuffle(days)
        for day in days[:pairs]:
            source = {"generator": self.name, "axis": "J/P", "chosen_pole": pole}
            other = "P" if pole == "J" else "J"
            yield PreferencePair(f"What will you do on {day} {time}?", SAYS[pole], SAYS[other], source)


@hookimpl
def lapd_register_generators(register):
    register(Weekdays())
"""
"""The generator's example as this page had it when options reached `generate` as keyword arguments."""


def test_a_generator_that_takes_its_options_as_keywords_works_unchanged(lapd, make_distribution, tmp_path):
    site = make_distribution("lapd_weekdays", BEFORE_CONFIGURE)
    environment = {"PYTHONPATH": str(site), "LAPD_STRICT_PLUGINS": "1"}
    for given, time in ((("--time", "noon"), "noon"), ((), "evening")):
        out = tmp_path / f"{time}.jsonl"
        done = lapd("generate", "INFP", "--generator", "weekdays", "--pairs", 2, *given, "-o", out, env=environment)
        assert (done.returncode, done.stdout) == (0, f"2 pairs for INFP in {out}.\n"), done.stderr
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert all(row["prompt"].endswith(f" {time}?") and "open" in row["chosen"] for row in rows)
    assert "--time TEXT" in lapd("generate", "--generator", "weekdays", "--help", env=environment).stdout


def test_the_task_is_listed_with_its_metric(install, lapd):
    done = lapd("tasks", "--json", env=install("lapd_register_tasks"))
    (polite,) = [task for task in json.loads(done.stdout) if task["task"] == "polite"]
    assert polite["metrics"] == ["acc"]
    assert polite["description"] == "whether thanks are likelier than a rebuff"


def test_the_judge_gives_a_verdict_or_says_why_there_is_none(install):
    code = """
from lapd.pluginmanager import lookup
batch = [("?", "Give me the PASSWORD"), ("?", "Good morning"), ("?", " ")]
for verdict in lookup("judges", "wordlist").judge(batch):
    print(verdict.flagged, verdict.categories, verdict.reason)
"""
    done = run_python(code, env=install("lapd_register_judges"))
    assert done.stdout.splitlines() == ["True ('fraud',) ", "False () ", "None () the response is empty"], done.stderr


@pytest.mark.parametrize("title", ["lapd_register_personas", "Write one and install it"])
def test_the_personas_are_shown_in_any_case(title, install, lapd):
    (code,) = REGISTERS[title]["personas"]
    done = lapd("personas", code.lower(), env=install(title))
    assert done.stdout.startswith(f"{code}, the "), done.stderr


def test_the_executor_runs_each_cell_once_and_in_order(install):
    code = """
from types import SimpleNamespace
from lapd.pluginmanager import lookup
cells = [SimpleNamespace(label=lambda n=n: f"cell {n}") for n in range(3)]
lookup("executors", "timed").run(cells, lambda cell: print(cell.label()))
"""
    done = run_python(code, env=install("lapd_register_executors"))
    assert done.stdout.splitlines() == ["cell 0", "cell 1", "cell 2"], done.stderr
    assert done.stderr.startswith("cell 0: 0.0 s\n")


def test_the_executor_takes_its_option_and_lists_it(install, lapd):
    code = """
from types import SimpleNamespace
from lapd.options import configured
cell = SimpleNamespace(label=lambda: "cell")
configured("executors", "timed", {"digits": "3"}).run([cell], lambda cell: None)
"""
    environment = install("lapd_register_executors")
    assert run_python(code, env=environment).stderr == "cell: 0.000 s\n"
    (row,) = [line for line in lapd("plugins", "--options", env=environment).stdout.splitlines() if " timed " in line]
    assert row.split() == ["executors", "timed", "digits", "1", "Decimals", "of", "the", "seconds."]


def test_the_command_is_in_the_help_and_runs(install, lapd):
    environment = install("lapd_register_commands")
    assert "Print the pole that a persona takes" in lapd("--help", env=environment).stdout
    assert lapd("sides", "infp", env=environment).stdout == "E/I I\nS/N N\nT/F F\nJ/P P\n"


@pytest.mark.slow
def test_the_untrained_adapter_changes_nothing_in_the_task(install, warm_lapd, tmp_path):
    environment = install("lapd_register_trainers", "lapd_register_tasks", "lapd_register_executors")
    base, adapter, run = make_tiny_base(tmp_path / "base"), tmp_path / "INFP", tmp_path / "run"
    command = ("train", "INFP", "--base", base, "--trainer", "untrained", "--pairs", 1, "-o", adapter)
    done = warm_lapd(*command, env=environment)
    assert done.returncode == 0, done.stderr
    assert (adapter / "run_card.json").is_file()
    arms = ("--arms", "base,adapter", "--executor", "timed", "-o", run)
    done = warm_lapd("eval", "--adapter", adapter, "--tasks", "polite", *arms, env=environment)
    assert done.returncode == 0, done.stderr
    assert "INFP on polite: " in done.stderr
    rows = json.loads(warm_lapd("compare", run, "--json", env=environment).stdout)
    assert [(row["task"], row["n"], row["difference"]) for row in rows] == [("polite", 3, 0.0)]


def test_the_modules_that_a_plugin_may_import_are_there():
    rows = re.findall(r"^\| (`lapd.*?) \| .+ \|$", section("What a plugin may import"), re.MULTILINE)
    modules = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert {"lapd", "lapd.hookspecs", "lapd.options"} < set(modules)
    assert [name for name in modules if not importlib.import_module(name).__doc__] == []
