"""The contract with plugins: every hook is described in docs/plugins.md, and LAPD's own plugins keep to it."""

import inspect
import re

import pytest
from conftest import ROOT

from lapd import hookspecs
from lapd.options import declared
from lapd.pluginmanager import KINDS, Plugins

HOOKS = {name: function for name, function in vars(hookspecs).items() if name.startswith("lapd_register_")}
PROTOCOLS = {
    "generators": hookspecs.Generator,
    "trainers": hookspecs.Trainer,
    "judges": hookspecs.Judge,
    "executors": hookspecs.Executor,
}
PARTS = {
    "generators": (hookspecs.TakesOptions, hookspecs.GeneratorParts),
    "trainers": (hookspecs.TrainerParts,),
    "judges": (hookspecs.TakesOptions,),
    "executors": (hookspecs.TakesOptions,),
}


def signature(name):
    return f"{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})"


def test_there_is_a_hook_for_each_kind_and_one_for_commands():
    assert set(HOOKS) == {f"lapd_register_{kind}" for kind in (*KINDS, "commands")}


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_the_documentation_has_a_heading_with_the_hooks_signature(name):
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if re.match(r"#+ ", line)]
    assert any(signature(name) in heading for heading in headings)


def test_the_documentation_describes_no_hook_that_there_is_not():
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert set(re.findall(r"lapd_register_\w+", text)) <= set(HOOKS)


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_says_what_it_is_for(name):
    assert HOOKS[name].__doc__


def methods(protocol):
    return {n: f for n, f in vars(protocol).items() if inspect.isfunction(f) and not n.startswith("_")}


def taken(function):
    return [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("kind", sorted(PROTOCOLS))
def test_lapds_own_plugins_keep_to_the_protocols(kind):
    for name, thing in Plugins().registered[kind].items():
        assert thing.name == name
        assert thing.description
        for method, wanted in methods(PROTOCOLS[kind]).items():
            assert taken(getattr(type(thing), method)) == taken(wanted)


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_the_parts_that_lapds_own_plugins_have_are_those_of_the_protocols(kind):
    had = set()
    for thing in Plugins().registered[kind].values():
        for protocol in PARTS[kind]:
            for method, wanted in methods(protocol).items():
                if hasattr(type(thing), method):
                    had.add(method)
                    assert taken(getattr(type(thing), method)) == taken(wanted)
    assert had == {method for protocol in PARTS[kind] for method in methods(protocol)}


@pytest.mark.parametrize("kind", ["generators", "judges", "executors"])
def test_lapds_own_plugins_that_declare_options_take_them_by_configure_and_no_other_way(kind):
    for thing in Plugins().registered[kind].values():
        assert bool(declared(thing)) == hasattr(thing, "configure")
