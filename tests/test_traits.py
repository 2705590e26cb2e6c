"""Trait packs: read, checked, looked up; the MBTI is one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lapd.data import mbti

from lapd.errors import DataError, PluginError, StoreError, UnknownNameError
from lapd.names import axes, axis_ends, find_pack, get_persona, pack_of, packs, single_poles, use_traits
from lapd.traits.pack import read_pack

WARMTH = {
    "schema": "lapd.traits/1",
    "name": "warmth",
    "licence": "CC0-1.0",
    "axes": [
        {
            "id": "warmth",
            "poles": [
                {"code": code, "name": f"{code}ness", "description": f"Is {code}.", "system_prompt": f"You are {code}."}
                for code in ("warm", "cold")
            ],
        }
    ],
}


@pytest.fixture
def make_pack(tmp_path: Path) -> Callable[..., Path]:
    """`make_pack(change)`: the folder of a pack of one axis, whose record `change` may alter in place."""

    def make(change: Callable[[Any], object] = lambda record: None, personas: Any = None, name: str = "pack") -> Path:
        record = json.loads(json.dumps(WARMTH))
        change(record)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "traits.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
        if personas is not None:
            text = json.dumps({"schema": "lapd.personas/2", "personas": personas})
            (folder / "personas.json").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """`named(folder)`: the pack in the folder is among the packs while the test runs."""

    def name(folder: Path) -> None:
        monkeypatch.setenv("LAPD_TRAITS", "")
        use_traits(folder)

    return name


def test_the_mbti_is_a_pack_like_any_other() -> None:
    assert packs()["mbti"].ends == {"E/I": ("E", "I"), "S/N": ("S", "N"), "T/F": ("T", "F"), "J/P": ("J", "P")}
    assert find_pack("mbti") is packs()["mbti"]
    assert len(mbti().personas) == 16


def test_a_pack_of_one_axis_gives_two_personas(make_pack: Callable[..., Path], named: Callable[[Path], None]) -> None:
    named(make_pack())
    assert get_persona("WARM").poles == {"warmth": "warm"}
    assert get_persona("cold").system_prompt == "You are cold."
    assert axes()["warmth"].other("cold") == "warm"
    assert pack_of("warmth").title == "warmth"
    assert {"warm", "cold", "E"} <= set(single_poles())


def test_a_folder_is_named_with_its_path_too(make_pack: Callable[..., Path]) -> None:
    folder = make_pack()
    assert find_pack(str(folder)).name == "warmth"
    with pytest.raises(UnknownNameError, match=r"There is no trait pack 'mbtj'\. Did you mean .*mbti"):
        find_pack("mbtj")


def test_a_persona_takes_a_side_to_a_degree(make_pack: Callable[..., Path]) -> None:
    texts = {"name": "n", "description": "d", "system_prompt": "s"}
    sides = {"half": 0.5, "cool": -0.25, "all": 1, "named": "cold"}
    personas = [{"code": code, "sides": {"warmth": side}, **texts} for code, side in sides.items()]
    found = {p.code: (p.poles, p.degrees) for p in read_pack(make_pack(personas=personas)).personas}
    assert found == {
        "half": ({"warmth": "warm"}, {"warmth": 0.5}),
        "cool": ({"warmth": "cold"}, {"warmth": 0.25}),
        "all": ({"warmth": "warm"}, {}),
        "named": ({"warmth": "cold"}, {}),
    }


@pytest.mark.parametrize("side", [0, 2, True, "hot", None])
def test_a_side_that_is_none_is_refused(make_pack: Callable[..., Path], side: object) -> None:
    persona = {"code": "x", "name": "n", "description": "d", "system_prompt": "s", "sides": {"warmth": side}}
    with pytest.raises(DataError, match=r"x: .* is no side of warmth\. Give warm or cold, or a number from -1 to 1"):
        read_pack(make_pack(personas=[persona]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("licence"), "the setting 'licence' is missing"),
        (lambda r: r.update(axes=[]), "name at least one"),
        (lambda r: r.update(name="no name"), "cannot name tasks"),
        (lambda r: r["axes"][0]["poles"].pop(), "warmth has 1 poles, not 2"),
        (lambda r: r["axes"][0]["poles"][0].pop("system_prompt"), "the setting 'system_prompt' is missing"),
        (lambda r: r["axes"][0]["poles"][1].update(code="Warm"), "two poles are called 'warm'"),
        (lambda r: r["axes"].append(r["axes"][0]), "two axes are called 'warmth'"),
        (lambda r: r["axes"][0].update(id="1st"), "cannot name an axis"),
        (lambda r: r["axes"][0]["poles"][0].update(code="very warm"), "cannot name a pole"),
        (lambda r: r.update(colour="red"), "There is no setting 'colour'"),
    ],
)
def test_a_damaged_pack_is_refused_with_its_place(
    make_pack: Callable[..., Path], change: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(DataError, match=rf"traits\.yaml.*{message}"):
        read_pack(make_pack(change))


def test_a_newer_pack_is_refused(make_pack: Callable[..., Path]) -> None:
    with pytest.raises(StoreError, match=r"newer LAPD"):
        read_pack(make_pack(lambda r: r.update(schema="lapd.traits/2")))


def test_a_folder_that_is_no_pack_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no trait pack: it has no traits\.yaml\. `lapd traits new NAME`"):
        read_pack(tmp_path)


def test_packs_that_share_an_axis_are_refused_by_both_names(
    make_pack: Callable[..., Path], named: Callable[[Path], None]
) -> None:
    named(make_pack())
    use_traits(make_pack(lambda r: r.update(name="other"), name="second"))
    with pytest.raises(PluginError, match=r"Two trait packs have the axis 'warmth': .*pack and .*second"):
        packs()


def test_an_axis_whose_pack_is_not_at_hand_has_ends_all_the_same() -> None:
    assert axis_ends("E/I") == ("E", "I")
    assert axis_ends("X/Y") == ("X", "Y")
    assert axis_ends("warmth") == ("more warmth", "less warmth")
