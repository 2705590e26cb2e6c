"""Options of generators, judges and executors: declared once, given in several ways, refused with what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from lapd.errors import UsageError
from lapd.judges import build_options as build_judge_options
from lapd.names import get_persona
from lapd.options import build_options, completed, configured, declared, declared_by
from lapd.pluginmanager import registry


@dataclass(frozen=True)
class Parent:
    """Settings that several share.

    Attributes:
        speed: how fast,
            in metres a second: at most 9.
    """

    speed: float = 1.5


@dataclass(frozen=True)
class Settings(Parent):
    """Settings.

    Attributes:
        max_tokens: at most so many.
        shout: whether it is loud.
        words: what is said.

    Not of the section: nothing.
    """

    max_tokens: int | None = None
    shout: bool = False
    words: list[str] = field(default_factory=list)
    tags: dict[str, Any] = field(default_factory=dict)
    title: str = "none"


@dataclass(frozen=True)
class Needs:
    model: str


def taken(options: tuple[click.Option, ...], *args: str) -> dict[str, Any]:
    """What click makes of a command line."""
    return click.Command("x", params=list(options)).make_context("x", list(args)).params


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`register(thing)`: whatever is looked up is this."""
    return lambda thing: monkeypatch.setattr("lapd.options.lookup", lambda kind, name: thing)


# Declaring


def test_each_field_of_a_dataclass_is_an_option_with_its_default_and_what_the_docstring_says() -> None:
    about = {o.name: (o.opts, o.secondary_opts, o.default, o.help, o.required) for o in declared_by(Settings)}
    assert about == {
        "speed": (["--speed"], [], 1.5, "How fast, in metres a second: at most 9.", False),
        "max_tokens": (["--max-tokens"], [], None, "At most so many.", False),
        "shout": (["--shout"], ["--no-shout"], False, "Whether it is loud.", False),
        "words": (["--words"], [], [], "What is said.", False),
        "tags": (["--tags"], [], {}, "", False),
        "title": (["--title"], [], "none", "", False),
    }


def test_what_the_command_line_gives_makes_the_dataclass() -> None:
    args = ("--speed", "2", "--max-tokens", "7", "--shout", "--words", "a", "--words", "b", "--tags", "{a: 1}")
    given = taken(declared_by(Settings), *args)
    made = build_options(Settings, given, "judge x", "a page")
    assert made == Settings(2.0, 7, True, ["a", "b"], {"a": 1}, "none")


def test_texts_make_the_same_dataclass() -> None:
    texts = {"speed": "2", "max_tokens": "7", "shout": "true", "words": "[a, b]", "tags": "{a: 1}"}
    assert build_options(Settings, texts, "judge x", "a page") == Settings(2.0, 7, True, ["a", "b"], {"a": 1}, "none")


def test_a_field_without_a_default_is_a_required_option() -> None:
    (option,) = declared_by(Needs)
    assert (option.required, option.name, option.help) == (True, "model", "")
    with pytest.raises(click.MissingParameter):
        taken((option,))


@pytest.mark.parametrize("options", [Settings(), {"a": 1}, ["a"], None, 3])
def test_an_attribute_that_happens_to_be_called_options_declares_nothing(options: object) -> None:
    assert declared(SimpleNamespace(options=options)) == ()
    assert declared(object()) == ()


@pytest.mark.parametrize("kind", ["generators", "judges", "executors"])
def test_lapds_own_options_have_a_help_text_each(kind: str) -> None:
    options = {name: declared(thing) for name, thing in registry(kind).items()}
    assert [(name, o.name) for name, several in options.items() for o in several if not o.help] == []
    assert {name for name, several in options.items() if several} == {
        "generators": {"contrast", "openai"},
        "judges": {"moderation", "openai"},
        "executors": {"local", "ray", "slurm"},
    }[kind]


def test_a_judge_of_other_people_builds_its_settings_as_documented() -> None:
    assert build_judge_options(Settings, {"speed": "2"}, "mine") == Settings(2.0)
    with pytest.raises(UsageError, match=r"judge mine: There is no setting 'sped'\. Did you mean speed\? See docs/tas"):
        build_judge_options(Settings, {"sped": "2"}, "mine")


# Giving


class Taking:
    """One that takes options by `configure`, of any kind."""

    name = "taking"
    options = declared_by(Settings)

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self.given = given

    def configure(self, options: Mapping[str, Any]) -> Taking:
        return Taking(options)


KINDS = ["generators", "judges", "executors"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_given_what_was_given_and_nothing_else(register: Any, kind: str) -> None:
    register(Taking())
    assert configured(kind, "taking", {"speed": "2"}).given == {"speed": "2"}
    assert configured(kind, "taking").given == {}


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_option_is_refused_with_the_nearest_and_the_known(register: Any, kind: str) -> None:
    register(Taking())
    message = (
        f"{kind[:-1]} taking: There is no option 'max_token'. Did you mean max_tokens? "
        "Known: max_tokens, shout, speed, tags, title, words."
    )
    with pytest.raises(UsageError) as caught:
        configured(kind, "taking", {"speed": 1, "max_token": 1})
    assert str(caught.value) == message


def test_only_a_generator_is_told_where_the_pairs_go(register: Any) -> None:
    register(Taking())
    assert configured("generators", "taking", {"out": Path("p")}).given == {"out": Path("p")}
    with pytest.raises(UsageError, match="judge taking: There is no option 'out'"):
        configured("judges", "taking", {"out": Path("p")})


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_takes_none_is_what_was_registered_and_refuses_any(register: Any, kind: str) -> None:
    plain = SimpleNamespace(name="plain")
    register(plain)
    assert configured(kind, "plain") is plain
    with pytest.raises(UsageError, match=rf"The {kind[:-1]} plain takes no options, but was given a, b\."):
        configured(kind, "plain", {"b": 1, "a": 2})


def test_one_that_declares_none_and_has_configure_decides_itself(register: Any) -> None:
    """The documented form of a judge or an executor from before options were declared."""
    older = SimpleNamespace(name="older", configure=dict, options=Settings())
    register(older)
    assert configured("judges", "older", {"anything": "1"}) == {"anything": "1"}


class Keywords:
    """A generator of the older form."""

    name = "older"
    options = (
        click.Option(["--size"], type=int, default=3),
        click.Option(["--axis", "axes"], multiple=True),
        click.Option(["--loud"], is_flag=True),
        click.Option(["--unset"]),
        click.Option(["--list"], default="a,b", callback=lambda ctx, option, value: value.split(",")),
        click.Option(["--hidden-from-it"], expose_value=False),
    )

    def generate(self, persona: str, *, pairs: int | None, seed: int, **options: Any) -> Any:
        return persona, pairs, seed, options

    def heldout(self, persona: str, *, pairs: int) -> Any:
        return persona, pairs


class Priced(Keywords):
    def estimate(self, persona: str, *, pairs: int | None, seed: int, **options: Any) -> dict[str, Any]:
        return {"pairs": pairs, **options}


def test_options_reach_a_generator_of_the_older_form_as_keywords_with_the_defaults_of_the_others(register: Any) -> None:
    register(Keywords())
    made = configured("generators", "older", {"axes": ("E/I",), "out": Path("p")})
    rest = {"size": 3, "loud": False, "unset": None, "list": ["a", "b"], "axes": ("E/I",), "out": Path("p")}
    assert made.generate("INFP", pairs=2, seed=1) == ("INFP", 2, 1, rest)
    assert made.heldout("INFP", pairs=2) == ("INFP", 2)
    assert (made.name, hasattr(made, "estimate")) == ("older", False)
    register(Priced())
    made = configured("generators", "older", {"axes": ("E/I",), "out": Path("p")})
    assert made.estimate("INFP", pairs=2, seed=1) == {"pairs": 2, **rest}


# Taking


def test_texts_are_converted_and_what_was_not_given_has_its_default() -> None:
    made = completed(Keywords.options, {"size": "4", "axes": "E/I", "out": Path("p")}, "generator older")
    assert (made["size"], made["axes"], made["loud"], made["out"]) == (4, ("E/I",), False, Path("p"))


def test_what_an_options_callback_made_is_left_alone() -> None:
    assert completed(Keywords.options, {"list": ["x", "y"]}, "generator older")["list"] == ["x", "y"]


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        (Keywords.options, {"size": "many"}, "generator x: Invalid value for '--size': 'many' is not a valid integer."),
        (declared_by(Needs), {}, "generator x: Missing option '--model'."),
    ],
)
def test_a_wrong_or_a_missing_one_is_a_wrong_call(options: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        completed(options, given, "generator x")
    assert str(caught.value) == message


def test_a_generator_takes_texts_as_a_file_has_them() -> None:
    pairs = configured("generators", "contrast", {"axes": "E/I"}).generate(get_persona("INFP"), pairs=3, seed=0)
    assert {pair.source["axis"] for pair in pairs} == {"E/I"}
    assert configured("generators", "openai", {"exchanges": "2"}).given["exchanges"] == 2
