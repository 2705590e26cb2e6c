"""Trait packs: read, checked, looked up; the MBTI is one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from lapd.data import mbti

from lapd.catalog.find import _read, find_task, read_config, tasks
from lapd.catalog.live import load_task
from lapd.catalog.task import TaskInfo
from lapd.errors import DataError, PluginError, StoreError, UnknownNameError, UsageError
from lapd.names import axes, axis_ends, find_pack, get_persona, pack_of, packs, single_poles, use_traits
from lapd.traits.features import features
from lapd.traits.pack import read_pack
from lapd.traits.scaffold import new_pack
from lapd.traits.tasks import pack_tasks, write_tasks

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


def test_a_folder_that_is_named_stands_for_the_installed_pack_of_its_name(
    make_pack: Callable[..., Path], named: Callable[[Path], None]
) -> None:
    folder = make_pack(lambda r: r.update(name="mbti"))
    named(folder)
    assert packs()["mbti"].folder == folder
    assert list(packs()["mbti"].ends) == ["warmth"]


def test_an_axis_whose_pack_is_not_at_hand_has_ends_all_the_same() -> None:
    assert axis_ends("E/I") == ("E", "I")
    assert axis_ends("X/Y") == ("X", "Y")
    assert axis_ends("warmth") == ("more warmth", "less warmth")


def test_the_mbtis_tasks_are_those_that_follow_from_its_data() -> None:
    folders = ("mbti", "situations", "persona_holds")
    shipped = {path.stem: path for folder in folders for path in (ROOT / "tasks" / folder).glob("*.yaml")}
    written = write_tasks(mbti())
    assert set(shipped) == set(pack_tasks(mbti())) == {path.stem for path in written.glob("*.yaml")}
    for name, path in shipped.items():
        ours, theirs = (_read(p, p.parent) for p in (path, written / f"{name}.yaml"))
        assert isinstance(ours, TaskInfo) and isinstance(theirs, TaskInfo)
        for field in ("name", "version", "kind", "metrics", "item", "axes", "units", "diagnostics", "self_report"):
            assert getattr(ours, field) == getattr(theirs, field), (name, field)
        for field in ("held", "data", "traits", "parsed", "parallel", "questionnaire"):
            assert getattr(ours, field) == getattr(theirs, field), (name, field)
        assert _config(path) == _config(written / f"{name}.yaml")


def _config(path: Path) -> dict[str, Any]:
    """How a task asks, without what names its functions and what LAPD alone reads."""
    config = read_config(path)
    named = ("class", "custom_dataset", "process_results", "metadata")
    return {key: value for key, value in config.items() if key not in named}


def test_a_pack_by_its_folder_alone_has_tasks_that_run(
    make_pack: Callable[..., Path], named: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    folder = make_pack()
    corpus = folder / "contrast" / "en" / "warmth.jsonl"
    corpus.parent.mkdir(parents=True)
    row = {"id": "w-1", "axis": "warmth", "lang": "en", "split": "heldout", "topic": "work", "situation": "It rains."}
    corpus.write_text(json.dumps({**row, "responses": {"warm": "Come in!", "cold": "Indeed."}}) + "\n")
    named(folder)
    info = find_task("warmth_situations")
    assert info.axes["log_odds"] == {"warmth": "log_odds_warmth"}
    assert "warmth" not in tasks()  # it has no questionnaire
    (document,) = load_task(info).test_docs()
    assert document["choices"] == ["Come in!", "Indeed."]
    digest = info.digest(None)
    corpus.write_text(json.dumps({**row, "responses": {"warm": "Come in!", "cold": "Yes."}}) + "\n")
    assert info.digest(None) != digest


def test_a_new_pack_can_be_read_and_says_what_it_lacks(tmp_path: Path) -> None:
    new_pack("courage", tmp_path / "courage")
    found = {feature.name: feature.there for feature in features(read_pack(tmp_path / "courage"))}
    assert found == {
        "personas: more-courage, less-courage": True,
        "lapd train more-courage": True,
        "task courage_situations": True,
        "task courage": False,
        "task courage_b": False,
    }
    with pytest.raises(UsageError, match=r"is there already"):
        new_pack("courage", tmp_path / "courage")
    with pytest.raises(UsageError, match=r"cannot name a pack"):
        new_pack("two words", tmp_path / "other")


def test_the_commands_take_a_pack_by_its_folder(lapd: Callable[..., Any], make_pack: Callable[..., Path]) -> None:
    folder = make_pack()
    listed = json.loads(lapd("traits", "--traits", folder, "--json").stdout)
    assert [pack["name"] for pack in listed] == ["mbti", "warmth"]
    assert "Is cold." in lapd("personas", "cold", "--traits", folder).stdout
    checked = lapd("traits", "check", folder, "--json")
    assert (checked.returncode, json.loads(checked.stdout)["pack"]) == (0, "warmth")
    refused = lapd("personas", "cold", "--traits", folder.parent)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ") and "this is no trait pack" in refused.stderr
    assert lapd("traits", "new", "courage", "-o", folder.parent / "courage").returncode == 0


def _row(number: int = 1, split: str = "train", **changed: Any) -> dict[str, Any]:
    """A situation of the pack `WARMTH`."""
    said = {"warm": f"Come in, all {number} of you!", "cold": f"I see {number} of you."}
    row = {"id": f"w-{number}", "axis": "warmth", "lang": "en", "split": split, "topic": "work"}
    return {**row, "situation": f"Guest {number} is at the door.", "responses": said, **changed}


def _write(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2]], "w.jsonl:1: a situation is an object, not list"),
        ([_row(axis=["warmth"])], r"'axis' is \['warmth'\], not a text"),
        ([_row(axis="heat")], r"there is no axis 'heat'\. Known: warmth"),
        ([_row(situation=None)], "a situation has no 'situation'"),
        ([_row(id=["a"])], r"'id' is \['a'\], not a text"),
        ([{name: text for name, text in _row().items() if name != "split"}], "a situation has no 'split'"),
        ([_row(split="test")], "'test' is no split"),
        ([_row(lang="de")], "this situation is in 'de', and its place is for 'en'"),
        ([_row(responses=["a", "b"])], r"not those of the poles of 'warmth'\. Give a text for warm and for cold"),
        ([_row(responses={"warm": 1, "cold": "b"})], "not those of the poles of 'warmth'"),
        ([_row(1), _row(1, "heldout")], "two situations have the id 'w-1'"),
    ],
)
def test_a_line_that_is_no_situation_is_refused_with_its_place(
    make_pack: Callable[..., Path], rows: list[Any], message: str
) -> None:
    folder = make_pack()
    _write(folder / "contrast" / "en" / "w.jsonl", rows)
    with pytest.raises(DataError, match=message):
        read_pack(folder).corpus()


def test_responses_may_come_in_any_order_and_what_the_place_tells_may_be_left_out(
    make_pack: Callable[..., Path],
) -> None:
    folder = make_pack()
    row = _row(7, id=7, responses={"cold": "Indeed.", "warm": "Come in!"})
    _write(folder / "contrast" / "de" / "w.jsonl", [{name: row[name] for name in row if name not in ("lang", "topic")}])
    (found,) = read_pack(folder).situations("train", "de")
    assert (found.id, found.lang, found.topic) == ("7", "de", "")
    assert list(found.responses) == ["warm", "cold"]
    assert read_pack(folder).languages() == ["de"]


def test_a_pack_may_have_its_files_without_folders_for_languages(make_pack: Callable[..., Path]) -> None:
    folder = make_pack()
    _write(folder / "contrast" / "warmth.jsonl", [_row(1), _row(2, "heldout")])
    statements = {"cold": "I keep to myself.", "warm": "I like company."}
    item = {"id": 1, "axis": "warmth", "facet": "company", "statements": statements}
    about = {"schema": "lapd.questionnaire/1", "licence": "CC0-1.0", "provenance": "Here.", "items": [item]}
    (folder / "questionnaire.json").write_text(json.dumps(about))
    pack = read_pack(folder)
    assert [s.id for s in pack.situations("heldout")] == ["w-2"]
    assert list(pack_tasks(pack)) == [
        "warmth_situations", "warmth_situations_open", "warmth_persona_holds", "warmth", "warmth_text",
    ]  # fmt: skip
    named = [task["metadata"]["lapd"]["data"] for task in pack_tasks(pack).values()]
    assert all((folder / name).exists() for names in named for name in names), "a file that is not there"
    assert pack_tasks(pack)["warmth"]["metadata"]["lapd"]["data"] == ["traits.yaml", "questionnaire.json"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sides": ["warm"]}, "x: sides: this is no object with a side for each axis"),
        ({"sides": "warm"}, "x: sides: this is no object"),
        ({"side": {"warmth": "warm"}}, "x: There is no field 'side'. Did you mean sides"),
    ],
)
def test_a_persona_whose_sides_would_be_lost_is_refused(
    make_pack: Callable[..., Path], changed: dict[str, Any], message: str
) -> None:
    persona = {"code": "x", "name": "n", "description": "d", "system_prompt": "s", **changed}
    with pytest.raises(DataError, match=message):
        read_pack(make_pack(personas=[persona]))


def test_an_unknown_name_is_answered_with_the_packs_nearest_pole(
    make_pack: Callable[..., Path], named: Callable[[Path], None]
) -> None:
    named(make_pack(lambda r: r["axes"][0]["poles"][0].update(code="more-warmth")))
    with pytest.raises(UnknownNameError, match=r"There is no persona 'warmth'\. Did you mean more-warmth"):
        get_persona("warmth")


def test_a_pack_with_nothing_to_ask_has_no_tasks_and_an_empty_corpus_is_none(
    invoke: Callable[..., Any], make_pack: Callable[..., Path], named: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = make_pack()
    _write(folder / "contrast" / "en" / "w.jsonl", [])
    named(folder)
    result = invoke("traits", "tasks", folder, "-o", tmp_path / "tasks")
    assert (result.exit_code, (tmp_path / "tasks").exists()) == (1, False)
    assert "no held-out situations and no questionnaire" in result.stderr
    assert invoke("traits", "check", folder).exit_code == 0


def test_a_situation_without_a_text_is_neither_written_nor_trained_on(
    invoke: Callable[..., Any], make_pack: Callable[..., Path], named: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = make_pack()
    _write(folder / "contrast" / "en" / "w.jsonl", [_row(1), _row(2, responses={"warm": " ", "cold": "b"})])
    named(folder)
    for command in (
        ("generate", "warm", "-o", tmp_path / "p.jsonl"),
        ("train", "warm", "-o", tmp_path / "o", "--plan"),
    ):
        result = invoke(*command)
        assert result.exit_code == 1
        assert "(w-2): 'chosen' is missing, empty or not text." in result.stderr
    assert not (tmp_path / "p.jsonl").exists()


def test_an_installed_pack_is_checked_by_its_name(
    invoke: Callable[..., Any], make_pack: Callable[..., Path], named: Callable[[Path], None]
) -> None:
    named(make_pack())
    assert json.loads(invoke("traits", "check", "warmth", "--json").stdout)["pack"] == "warmth"
    assert "no trait pack" in invoke("traits", "check", "wrath").stderr
