"""Plugins as packages that are really installed: good ones work, a broken one takes nothing along."""

import json

import pytest

from lapd.errors import PluginError, UnknownNameError
from lapd.files.whole import read_jsonl
from lapd.pluginmanager import Plugins, lookup, plugins

OWN = {"contrast", "local", "tasks", "traits", "trl"}

GOOD = """
import click
from lapd import Persona, PreferencePair, hookimpl

class Parrot:
    name = "parrot"
    description = "says what it was told"
    def generate(self, persona, *, pairs, seed):
        for n in range(pairs or 3):
            yield PreferencePair(f"question {n}", f"{persona.code} {seed}", "no", {"axis": "none"})

@hookimpl
def lapd_register_generators(register):
    register(Parrot())

@hookimpl
def lapd_register_personas(register):
    register(Persona("PIRATE", "the Buccaneer", {}, "Sails.", "You are a pirate."))

@hookimpl
def lapd_register_commands(cli):
    @cli.command()
    @click.argument("name")
    def greet(name):
        "Greet NAME."
        click.echo(f"Ahoy {name}")
"""

RAISES = """
from lapd import hookimpl

@hookimpl
def lapd_register_trainers(register):
    raise ValueError("no such accelerator\\nand more")
"""

REGISTERS = """
from types import SimpleNamespace
from lapd import hookimpl

@hookimpl
def lapd_register_generators(register):
    register(SimpleNamespace(name={name!r}, description="x", generate=lambda persona, pairs, seed: []))
"""


def at(site):
    return {"PYTHONPATH": str(site)}


def listed(done):
    assert done.returncode == 0, done.stderr
    return {info["name"]: info for info in json.loads(done.stdout)}


def one_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_lapds_own_plugins_come_through_the_same_door(lapd):
    infos = listed(lapd("plugins", "--json"))
    assert set(infos) >= OWN
    assert all(infos[name]["error"] is None and infos[name]["package"] == "lapd" for name in OWN)
    assert infos["contrast"]["registers"] == {"generators": ["contrast"]}
    assert infos["traits"]["registers"] == {"traits": ["mbti"]}


def test_a_plugins_generator_persona_and_command_work(lapd, make_distribution, tmp_path):
    site = make_distribution("parrot", GOOD)
    info = listed(lapd("plugins", "--json", env=at(site)))["parrot"]
    assert (info["package"], info["version"], info["module"], info["error"]) == ("parrot", "1.0", "parrot", None)
    assert info["registers"] == {"generators": ["parrot"], "personas": ["PIRATE"], "commands": ["greet"]}

    out = tmp_path / "pairs.jsonl"
    done = lapd(
        "generate", "pirate", "--generator", "Parrot", "--pairs", 2, "--seed", 7, "-o", out, "--json", env=at(site)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["persona"] == "PIRATE"
    assert [row["chosen"] for _, row in read_jsonl(out)] == ["PIRATE 7", "PIRATE 7"]

    assert lapd("greet", "Jim", env=at(site)).stdout == "Ahoy Jim\n"
    assert "Greet NAME." in lapd("--help", env=at(site)).stdout
    assert "PIRATE" in lapd("personas", env=at(site)).stdout


def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_work(lapd, make_distribution, tmp_path):
    make_distribution("absent", "import no_such_module_anywhere\n")
    make_distribution("quits", "import sys; sys.exit(3)\n")
    make_distribution("raises", RAISES)
    site = make_distribution("parrot", GOOD)
    infos = listed(lapd("plugins", "--json", env=at(site)))
    assert infos["absent"]["error"] == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert infos["quits"]["error"] == "SystemExit: 3"
    assert infos["raises"]["error"] == "ValueError: no such accelerator"
    assert all(infos[name]["registers"] == {} for name in ("absent", "quits", "raises"))
    assert all(infos[name]["error"] is None for name in (*OWN, "parrot"))
    table = lapd("plugins", env=at(site)).stdout
    assert "FAILED: ModuleNotFoundError: No module named 'no_such_module_anywhere'" in table

    assert lapd("generate", "INFP", "--pairs", 2, "-o", tmp_path / "p.jsonl", env=at(site)).returncode == 0
    assert lapd("greet", "Jim", env=at(site)).returncode == 0
    assert lapd("--help", env=at(site)).returncode == 0


@pytest.mark.parametrize("source", ["import no_such_module_anywhere\n", RAISES], ids=["import", "hook"])
def test_a_broken_plugin_is_fatal_when_strictness_is_asked_for(lapd, make_distribution, source):
    site = make_distribution("broken", source)
    line = one_line(lapd("personas", env={**at(site), "LAPD_STRICT_PLUGINS": "1"}), 1)
    assert line.startswith("Error: Plugin broken (broken) failed to load: ")
    assert lapd("personas", env={**at(site), "LAPD_STRICT_PLUGINS": "0"}).returncode == 0


def test_an_unknown_name_names_the_plugins_that_failed(lapd, make_distribution, base_folder, tmp_path):
    site = make_distribution("fast", "import no_such_module_anywhere\n", fast="fast")
    done = lapd("train", "INFP", "--trainer", "fast", "--base", base_folder, "-o", tmp_path / "x", env=at(site))
    line = one_line(done, 2)
    assert line.startswith("Error: There is no trainer 'fast'.")
    assert "Known: steering, trl" in line
    assert "Plugins that failed to load: fast: ModuleNotFoundError: No module named 'no_such_module_anywhere'" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["twin", "contrast", "CONTRAST"])
def test_two_plugins_with_one_name_collide_loudly(lapd, make_distribution, name):
    make_distribution("one", REGISTERS.format(name="twin"))
    site = make_distribution("two", REGISTERS.format(name=name))
    line = one_line(lapd("personas", env=at(site)), 1)
    first = "one" if name == "twin" else "contrast"
    assert line == f"Error: Plugins {first} and two both register generator {name!r}. Uninstall one of them.\n"


def test_only_the_plugins_that_are_named_are_loaded(lapd, make_distribution):
    make_distribution("absent", "import no_such_module_anywhere\n")
    site = make_distribution("parrot", GOOD)
    environment = {**at(site), "LAPD_LOAD_PLUGINS": " Parrot, contrast"}
    done = lapd("plugins", "--json", env=environment)
    infos = listed(done)
    assert done.stderr == ""
    assert [name for name, info in infos.items() if not info["left_out"]] == ["contrast", "parrot"]
    assert all(info["registers"] == {} and info["error"] is None for info in infos.values() if info["left_out"])
    table = lapd("plugins", env=environment).stdout.splitlines()
    assert [line.split()[0] for line in table if line.endswith("  left out by LAPD_LOAD_PLUGINS")] == [
        name for name, info in infos.items() if info["left_out"]
    ]
    assert lapd("greet", "Jim", env=environment).stdout == "Ahoy Jim\n"
    assert "greet" not in lapd("--help", env={**environment, "LAPD_LOAD_PLUGINS": "contrast"}).stdout


def test_an_empty_list_loads_no_plugin(lapd, make_distribution, tmp_path):
    environment = {**at(make_distribution("parrot", GOOD)), "LAPD_LOAD_PLUGINS": ""}
    assert all(info["left_out"] for info in listed(lapd("plugins", "--json", env=environment)).values())
    line = one_line(lapd("generate", "INFP", "-o", tmp_path / "pairs.jsonl", env=environment), 2)
    assert line.startswith("Error: There is no generator 'contrast'. Known: none. Left out by LAPD_LOAD_PLUGINS: ")
    line = one_line(lapd("personas", "INFP", env=environment), 2)
    assert "There is no persona 'INFP'." in line and "Left out by LAPD_LOAD_PLUGINS: contrast, " in line


def test_a_name_that_is_no_plugin_is_a_warning_that_names_those_that_are(lapd, make_distribution):
    environment = {**at(make_distribution("parrot", GOOD)), "LAPD_LOAD_PLUGINS": "parot,contrast"}
    done = lapd("plugins", env=environment)
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    start = "Warning: LAPD_LOAD_PLUGINS: There is no plugin 'parot'. Did you mean parrot? Known: contrast, "
    assert done.stderr.startswith(start)
    assert " parrot, " in done.stderr


TAKING = """
import click
from types import SimpleNamespace
from lapd import hookimpl

SECRET = click.Option(["--secret"], hidden=True)
WORKERS = click.Option(["--max-workers"], type=int, required=True, help="How many.")
MODE = click.Option(["--mode", "how"], default=("a", "b"), multiple=True, help="Which.")

@hookimpl
def lapd_register_generators(register):
    register(SimpleNamespace(name="written", description="x", options=[MODE, SECRET], generate=None))

@hookimpl
def lapd_register_executors(register):
    register(SimpleNamespace(name="away", description="x", options=[WORKERS], run=None, configure=None))
"""


def test_options_are_listed_as_they_are_written_on_the_command_line(lapd, make_distribution):
    environment = {**at(make_distribution("taking", TAKING)), "LAPD_LOAD_PLUGINS": "taking,tasks"}
    infos = listed(lapd("plugins", "--json", env=environment))
    mode = {"name": "--mode", "default": ["a", "b"], "required": False, "help": "Which."}
    workers = {"name": "max_workers", "default": None, "required": True, "help": "How many."}
    assert infos["taking"]["options"] == {"generators": {"written": [mode]}, "executors": {"away": [workers]}}
    assert infos["tasks"]["options"] == {}
    assert [line.split() for line in lapd("plugins", "--options", env=environment).stdout.splitlines()] == [
        ["kind", "name", "option", "default", "help"],
        ["executors", "away", "max_workers", "required", "How", "many."],
        ["generators", "written", "--mode", "a,", "b", "Which."],
    ]


@pytest.mark.parametrize("verb", ["eval", "judge", "run"])
def test_the_help_says_where_options_are_listed(invoke, verb):
    assert "`lapd plugins --options`" in " ".join(invoke(verb, "--help").stdout.split())


def test_a_persona_cannot_be_taken_over(lapd, make_distribution):
    site = make_distribution("parrot", GOOD.replace("PIRATE", "infp"))
    line = one_line(lapd("personas", "INFP", env=at(site)), 1)
    assert "A plugin and the trait pack mbti both have the persona 'INFP'" in line


@pytest.mark.parametrize("names", [("train", "other"), ("greet", "greet")])
def test_two_commands_with_one_name_collide_loudly(lapd, make_distribution, names):
    for module, name in zip(("one", "two"), names, strict=True):
        source = GOOD[GOOD.index("@hookimpl\ndef lapd_register_commands") :].replace("greet", name)
        site = make_distribution(module, f"import click\nfrom lapd import hookimpl\n{source}")
    done = lapd("plugins", "--json", env=at(site))
    assert done.returncode == 1 or any(info["error"] for info in json.loads(done.stdout))


@pytest.fixture
def load(make_distribution, monkeypatch):
    """Load the plugins anew in this process, with a distribution of this source among them."""

    def load(source, **entry_points):
        monkeypatch.syspath_prepend(make_distribution("lapd_test_plugin", source, **entry_points))
        monkeypatch.delitem(__import__("sys").modules, "lapd_test_plugin", raising=False)
        loaded = Plugins()
        return loaded, {info.name: info for info in loaded.infos}

    return load


def test_plugins_are_loaded_one_by_one(load, monkeypatch):
    monkeypatch.delenv("LAPD_STRICT_PLUGINS", raising=False)
    loaded, infos = load("raise RuntimeError('broken')", aaa="lapd_test_plugin")
    assert infos["aaa"].error == "RuntimeError: broken"
    assert infos["aaa"].package == "lapd_test_plugin"
    assert set(infos) >= OWN | {"aaa"}
    assert "contrast" in loaded.registered["generators"]


def test_strictness_stops_at_the_first_broken_plugin(load, monkeypatch):
    monkeypatch.setenv("LAPD_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"Plugin aaa \(lapd_test_plugin\) failed to load: RuntimeError: broken"):
        load("raise RuntimeError('broken')", aaa="lapd_test_plugin")


def test_a_name_that_is_registered_twice_is_fatal(load):
    with pytest.raises(PluginError, match=r"both register generator 'contrast'"):
        load(REGISTERS.format(name="contrast"))


def test_an_entry_point_whose_name_is_taken_is_reported(load):
    loaded, _ = load("", contrast="lapd_test_plugin")
    errors = [info.error for info in loaded.infos if info.name == "contrast"]
    assert [error is None for error in errors].count(False) == 1
    assert any("contrast" in error for error in errors if error)


def test_a_command_hook_that_fails_is_reported_and_the_others_work(load):
    import click

    source = "from lapd import hookimpl\n@hookimpl\ndef lapd_register_commands(cli):\n    raise ValueError('oh\\nno')\n"
    loaded, infos = load(source)
    group = click.Group()
    loaded.add_commands(group)
    assert infos["lapd_test_plugin"].error == "ValueError: oh"
    assert group.commands == {}


BROKEN_LATER = "from lapd import hookimpl\n@hookimpl\ndef lapd_register_{hook}:\n    {body}\n"


def test_strictness_holds_for_commands_too(lapd, make_distribution):
    site = make_distribution("broken", BROKEN_LATER.format(hook="commands(cli)", body="raise ValueError('no')"))
    done = lapd("--help", env={**at(site), "LAPD_STRICT_PLUGINS": "1"})
    assert (done.returncode, "Plugin broken" in done.stderr) == (1, True)


def test_a_command_hook_that_exits_does_not_take_the_command_line_along(lapd, make_distribution):
    site = make_distribution("broken", BROKEN_LATER.format(hook="commands(cli)", body="raise SystemExit(3)"))
    done = lapd("--help", env=at(site))
    assert (done.returncode, "Commands:" in done.stdout) == (0, True)


HALF = """
from lapd import hookimpl
from lapd.data import contrast_corpus
from lapd.plugins.contrast import ContrastGenerator

class Good(ContrastGenerator):
    name = "good"

@hookimpl
def lapd_register_generators(register):
    register(Good())
    register(object())

@hookimpl
def lapd_register_commands(cli):
    cli.command("half")(lambda: None)
"""


@pytest.mark.parametrize("what", ["generator", "command"])
def test_nothing_of_a_plugin_that_fails_half_way_is_kept(load, what):
    import click

    loaded, infos = load(HALF)
    assert infos["lapd_test_plugin"].error
    group = click.Group()
    loaded.add_commands(group)
    assert "good" not in loaded.registered["generators"] if what == "generator" else group.commands == {}


def test_a_name_is_looked_up_in_any_case():
    assert lookup("trainers", "TRL") is lookup("trainers", "trl")
    assert lookup("executors", "local").description
    with pytest.raises(UnknownNameError, match=r"There is no generator 'contrasts'. Did you mean contrast\? Known: "):
        lookup("generators", "contrasts")


def test_the_plugins_of_a_process_are_loaded_once():
    assert plugins() is plugins()
