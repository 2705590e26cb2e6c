"""Pairs of one's own: a part is kept from training, told by content, and the task `own_pairs` measures on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.personas import persona_of
from lapd.catalog.find import find_task
from lapd.catalog.live import build_requests
from lapd.compare.comparisons import compare_run
from lapd.errors import UsageError
from lapd.evaluate.own_pairs import with_pairs
from lapd.files.whole import read_json, write_jsonl
from lapd.pairs.controls import control_pairs
from lapd.pairs.pair import PreferencePair, read_pairs, write_pairs
from lapd.pairs.split import split_by_content
from lapd.testing import make_tiny_base
from lapd.traits.persona_file import read_persona

PAIRS = [
    PreferencePair(f"Question {n} of the crew?", f"Arr, number {n} is bilge!", f"Number {n} is a fine question.")
    for n in range(12)
]


def test_a_fifth_is_kept_whatever_the_order_and_whichever_is_chosen() -> None:
    train, kept = split_by_content(PAIRS)
    assert (len(train), len(kept)) == (8, 4)
    assert [*train, *kept] != PAIRS and {p.prompt for p in [*train, *kept]} == {p.prompt for p in PAIRS}
    _, turned = split_by_content(PAIRS[::-1])
    assert {p.prompt for p in turned} == {p.prompt for p in kept}
    _, of_control = split_by_content(control_pairs(PAIRS, "opposite"))
    assert [p.prompt for p in of_control] == [p.prompt for p in kept]
    assert len(split_by_content([PreferencePair(f"{n}", "a", "b") for n in range(2000)])[1]) == 200


def test_pairs_of_one_prompt_stay_together_and_few_pairs_are_all_trained_on() -> None:
    doubled = [PreferencePair(p.prompt, p.chosen, f"{p.rejected} {n}") for p in PAIRS for n in range(2)]
    train, kept = split_by_content(doubled)
    assert kept and not {p.prompt for p in train} & {p.prompt for p in kept}
    assert split_by_content(PAIRS[:9]) == (PAIRS[:9], [])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base, pairs, and adapters that were trained on them under a new name."""
    from lapd.train.config import TrainConfig
    from lapd.train.training import train_adapter

    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(folder / "cache"))
        base = make_tiny_base(folder / "base")
        write_pairs(folder / "pairs.jsonl", PAIRS)
        (folder / "sailor.yaml").write_text("description: Swears.\nsystem_prompt: You are a sailor.\n")
        settings: dict[str, Any] = {"base": str(base), "dataset": str(folder / "pairs.jsonl"), "epochs": 4.0}
        settings |= {"lr": 5e-3, "precision": "float32", "persona_file": str(folder / "sailor.yaml")}
        for control in (None, "shuffled"):
            config = TrainConfig("sailor", control=control, **settings)
            train_adapter(config, folder / config.name, quiet=True)
    return folder


def test_what_is_kept_is_recorded_and_carried(trained: Path) -> None:
    _, kept = split_by_content(PAIRS)
    card = read_json(trained / "sailor" / "run_card.json")
    assert card["data"]["pairs"] == 8
    assert card["data"]["kept"]["pairs"] == len(kept)
    found = read_pairs(trained / "sailor" / "kept_pairs.jsonl")
    assert [(p.prompt, p.chosen) for p in found] == [(p.prompt, p.chosen) for p in kept]
    control = (trained / "shuffled-sailor" / "kept_pairs.jsonl").read_bytes()
    assert control == (trained / "sailor" / "kept_pairs.jsonl").read_bytes()


def test_the_persona_goes_with_the_adapter(trained: Path) -> None:
    persona = persona_of(resolve_adapter(trained / "sailor"))
    assert persona is not None
    assert (persona.code, persona.description, persona.system_prompt) == ("sailor", "Swears.", "You are a sailor.")


def test_the_shift_on_kept_pairs_is_compared_with_base_and_control(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lapd.evaluate.plan import make_arms
    from lapd.experiment.arms import evaluate_arms
    from lapd.models.base import resolve_base

    monkeypatch.setenv("LAPD_CACHE", str(trained / "cache"))
    adapters = [resolve_adapter(trained / name) for name in ("sailor", "shuffled-sailor")]
    arms = make_arms(adapters, ["base", "adapter"])
    evaluate_arms(resolve_base(str(trained / "base")), arms, ["own_pairs"], tmp_path / "run", quiet=True)
    rows = [row for row in compare_run(tmp_path / "run") if row.arm == "sailor" and row.metric == "log_odds"]
    assert {row.baseline for row in rows} == {"base", "shuffled-sailor"}
    assert all((row.persona, row.n, row.unit, row.headline) == ("sailor", 4, "nats", True) for row in rows)
    assert all(row.difference > 0 for row in rows)


def test_a_conversation_is_asked_whole(tmp_path: Path) -> None:
    pair = PreferencePair("And now?", "Aye.", "Yes.", {}, "You sail.", (("user", "Hello"), ("assistant", "Ahoy")))
    write_pairs(tmp_path / "pairs.jsonl", [pair])
    (info,) = with_pairs([find_task("own_pairs")], [], str(tmp_path / "pairs.jsonl"))
    seen: list[Any] = []

    def chat(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        seen.append([(m["role"], m["content"]) for m in messages])
        return "rendered: You sail."

    from lapd.catalog.live import load_task

    requests = build_requests(load_task(info), chat=chat)
    turns = [("system", "You sail."), ("user", "Hello"), ("assistant", "Ahoy"), ("user", "And now?")]
    assert seen == [turns]
    assert [request.args for request in requests] == [("rendered: You sail.", text) for text in ("Aye.", "Yes.")]


def test_without_pairs_the_task_says_where_they_come_from(trained: Path, tmp_path: Path) -> None:
    task = find_task("own_pairs")
    with pytest.raises(UsageError, match=r"no adapter here has any\. Train one with `lapd train NAME --dataset FILE`"):
        with_pairs([task], [], None)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (other / name).write_bytes((trained / "sailor" / name).read_bytes())
    write_pairs(other / "kept_pairs.jsonl", PAIRS[:2])
    both = [resolve_adapter(other), resolve_adapter(trained / "sailor")]
    with pytest.raises(UsageError, match=r"other and sailor were trained on different data sets"):
        with_pairs([task], both, None)
    with pytest.raises(UsageError, match=r"None of the tasks asks pairs"):
        with_pairs([find_task("mbti")], both, "pairs.jsonl")


def test_a_new_name_needs_a_data_set_and_a_near_miss_is_remarked_on(
    invoke: Callable[..., Any], tmp_path: Path, base_folder: Path
) -> None:
    refused = invoke("train", "sailor", "-o", tmp_path / "out")
    assert (refused.exit_code, "There is no persona 'sailor'" in refused.stderr) == (2, True)
    write_jsonl(tmp_path / "pairs.jsonl", [])
    result = invoke("train", "INPF", "--dataset", tmp_path / "pairs.jsonl", "--base", base_folder, "-o", tmp_path / "o")
    assert "INPF is a new persona, without axes" in result.stderr
    assert "Did you mean" in result.stderr
    assert json.dumps(result.exit_code) == "1"  # there is no pair in the file


@pytest.mark.parametrize("name", ["grumpy sailor", "../sailor", "sailor@2", "1st", ""])
def test_a_name_that_cannot_be_one_is_refused_before_it_is_called_new(
    invoke: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    result = invoke("train", name, "--dataset", tmp_path / "pairs.jsonl")
    line = f"Error: {name!r} cannot name a persona. Use letters, digits and dashes."
    assert (result.exit_code, result.stderr.strip()) == (2, line)


@pytest.mark.parametrize(
    ("poles", "message"),
    [
        ("{E/I: Q}", "sailor: 'Q' is no side of E/I. Give E or I, or a number"),
        ("{heat: hot}", "sailor: there is no axis 'heat'"),
        ("[E]", "poles: ['E'] is not dict"),
    ],
)
def test_a_pole_in_a_persona_file_that_is_none_is_refused(
    invoke: Callable[..., Any], tmp_path: Path, base_folder: Path, poles: str, message: str
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", PAIRS)
    (tmp_path / "sailor.yaml").write_text(f"system_prompt: You are a sailor.\npoles: {poles}\n")
    own = ("--dataset", tmp_path / "pairs.jsonl", "--persona-file", tmp_path / "sailor.yaml")
    result = invoke("train", "sailor", *own, "--base", base_folder, "--plan")
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_persona_file_takes_sides_as_a_pack_does(tmp_path: Path) -> None:
    path = tmp_path / "sailor.yaml"
    path.write_text("system_prompt: You are a sailor.\npoles: {E/I: E, T/F: -0.5}\n")
    found = read_persona(path, "sailor", {"E/I": ("E", "I"), "T/F": ("T", "F")})
    assert (found.poles, found.degrees) == ({"E/I": "E", "T/F": "F"}, {"T/F": 0.5})


def test_a_persona_of_a_file_without_pairs_says_how_to_give_some(
    invoke: Callable[..., Any], tmp_path: Path, base_folder: Path
) -> None:
    (tmp_path / "sailor.yaml").write_text("system_prompt: You are a sailor.\n")
    result = invoke("train", "sailor", "--persona-file", tmp_path / "sailor.yaml", "--base", base_folder, "--plan")
    assert result.exit_code == 1
    assert "no pairs for sailor. Give pairs of your own with --dataset." in result.stderr


def test_a_pairs_system_prompt_is_folded_or_refused_where_the_template_has_no_place_for_it(
    invoke: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_tiny_base(tmp_path / "base")
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    template = base / "chat_template.jinja"
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    template.write_text(refuses + template.read_text())
    write_pairs(tmp_path / "pairs.jsonl", [PreferencePair("Ahoy?", "Aye.", "Yes.", system="You sail.")])
    asked = ("--base", base, "--arms", "base", "--tasks", "own_pairs", "--pairs", tmp_path / "pairs.jsonl")
    refused = invoke("eval", *asked, "-o", tmp_path / "refused")
    assert refused.exit_code == 2
    assert "no place for the system prompts of the pairs. --fold-system-prompt puts" in refused.stderr
    assert invoke("eval", *asked, "--fold-system-prompt", "-o", tmp_path / "run").exit_code == 0
    (samples,) = (tmp_path / "run").rglob("samples.jsonl")
    assert "You sail.\\n\\nAhoy?" in samples.read_text()
