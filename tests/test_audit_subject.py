"""What an audit is of: places of adapters, models and checkpoints, and the base that their files name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lapd.adapters.adapter import resolve_adapter
from lapd.audit.bundle import bundle
from lapd.audit.memory import check_memory, parameters
from lapd.audit.subject import find_audited
from lapd.errors import ModelError, UnknownNameError, UsageError
from lapd.models.base import resolve_base


def name_base(folder: Path, base: str | None) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))


def arms(*paths: object, base: Path | None = None) -> list[str]:
    return [arm.name for arm in find_audited([str(path) for path in paths], base and str(base)).arms]


def test_the_base_is_the_one_that_the_adapters_configuration_names(
    base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    folder = make_adapter(card=False)
    name_base(folder, str(base_folder))
    found = find_audited([str(folder)])
    assert found.base.path == base_folder
    assert [arm.name for arm in found.arms] == ["base", "INFP"]


def test_a_model_card_names_the_base_where_nothing_else_does(
    base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    folder = make_adapter(card=False)
    name_base(folder, None)
    (folder / "README.md").write_text(f"---\nlicense: mit\nbase_model:\n  - {base_folder}\n---\n# Mine\n")
    assert find_audited([str(folder)]).base.path == base_folder


def test_without_any_word_of_the_base_it_is_asked_for(make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter(card=False)
    name_base(folder, None)
    with pytest.raises(UsageError, match=r"^Nothing names the base model of INFP\. Give it with --base MODEL\.$"):
        find_audited([str(folder)])


def test_a_base_that_is_gone_is_named_with_where_else_to_say_it(make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter(card=False)
    name_base(folder, "/no/such/base")
    with pytest.raises(ModelError, match=r"/no/such/base, is not to be had: .* --base MODEL\.$"):
        find_audited([str(folder)])


def test_adapters_of_two_bases_are_audited_apart(base_folder: Path, make_adapter: Callable[..., Path]) -> None:
    one, two = make_adapter("one", card=False), make_adapter("two", card=False, weights=b"others")
    name_base(one, str(base_folder))
    name_base(two, "someone/other")
    with pytest.raises(UsageError, match="different bases"):
        find_audited([str(one), str(two)])
    assert arms(one, two, base=base_folder) == ["base", "one", "two"]


def test_checkpoints_stand_in_the_order_of_their_steps(
    tmp_path: Path, base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    for step in (100, 20, 9):
        name_base(make_adapter(f"checkpoint-{step}", card=False, weights=str(step).encode()), str(base_folder))
    found = arms(tmp_path / "adapters" / "checkpoint-*")
    assert found == ["base", "checkpoint-9", "checkpoint-20", "checkpoint-100"]


def test_checkpoints_of_two_trainings_are_called_by_their_trainings(
    tmp_path: Path, base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    for training in ("mild", "harsh"):
        name_base(make_adapter(f"{training}/checkpoint-5", card=False, weights=training.encode()), str(base_folder))
    found = arms(*(tmp_path / "adapters" / training / "checkpoint-5" for training in ("mild", "harsh")))
    assert found == ["base", "mild-checkpoint-5", "harsh-checkpoint-5"]


@pytest.mark.parametrize(
    ("place", "told"),
    [("nowhere", "there is no such adapter or model"), ("./a/b", "there is no such adapter or model")],
)
def test_a_place_with_nothing_there_is_told(tmp_path: Path, place: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        find_audited([place])


def test_a_folder_above_the_adapter_says_where_it_is(tmp_path: Path, make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter()
    with pytest.raises(ModelError, match=f"There is one inside: {folder}$"):
        find_audited([str(folder.parent)])


def test_what_the_hub_does_not_give_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def gated(*_: object, **__: object) -> str:
        raise OSError("401 Client Error.\nAccess to someone/lora is restricted.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    with pytest.raises(ModelError) as caught:
        find_audited(["someone/lora"])
    assert "someone/lora: there is no such folder, and the Hub gave none: 401" in str(caught.value)
    assert "hf auth login" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_repository_of_the_hub_is_called_as_it_is_there(
    base_folder: Path, make_adapter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder = make_adapter("snapshot", card=False)
    name_base(folder, str(base_folder))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    assert arms("someone/their-lora") == ["base", "their-lora"]


def test_a_control_alone_is_asked_what_it_did_and_beside_its_adapter_stays_a_control(
    base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    digest = resolve_base(str(base_folder)).digest
    of_base = {"base_digest": digest, "settings": {"seed": 0}}
    plain = make_adapter("INFP", **of_base)
    control = make_adapter("shuffled-INFP", control="shuffled", weights=b"others", **of_base)
    opposite = make_adapter("opposite-INFP", control="opposite", weights=b"more", **of_base)
    (alone,) = find_audited([str(control)], str(base_folder)).subjects
    assert (alone.control, alone.persona) == (None, "INFP")
    beside = find_audited([str(plain), str(control), str(opposite)], str(base_folder)).subjects
    assert [subject.control for subject in beside] == [None, "shuffled", None]


def test_a_persona_is_whose_poles_count_and_one_that_does_not_exist_is_none(
    base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    folder = make_adapter("mine", card=False)
    name_base(folder, str(base_folder))
    (subject,) = find_audited([str(folder)], persona="entj").subjects
    assert subject.persona == "ENTJ"
    with pytest.raises(UnknownNameError):
        find_audited([str(folder)], persona="XXXX")


def test_an_adapter_may_have_a_strength_and_a_persona(base_folder: Path, make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter("mine", card=False)
    (subject,) = find_audited([f"{folder}@2:ENTJ"], str(base_folder)).subjects
    assert (subject.label, subject.persona) == ("mine@2", "ENTJ")


def test_an_adapter_beside_itself_at_another_strength_is_two_subjects(
    base_folder: Path, make_adapter: Callable[..., Path]
) -> None:
    folder = make_adapter("mine", card=False)
    assert arms(folder, f"{folder}@-1", base=base_folder) == ["base", "mine", "mine@-1"]


def test_the_bundle_has_both_sides_and_needs_no_judge_and_no_data_from_elsewhere(
    make_adapter: Callable[..., Path],
) -> None:
    subjects = [resolve_adapter(make_adapter())]
    names = [info.name for info in bundle(subjects)]
    assert names[:3] == ["persona_holds", "situations", "mbti"]
    assert names[3:] == ["knowledge_mini", "socialiqa_mini", "pressure", "overrefusal"]
    assert {info.publisher or info.judged for info in bundle(subjects)} == {None}


def test_a_server_without_a_tokenizer_at_hand_is_asked_on_both_sides_in_writing(
    make_adapter: Callable[..., Path],
) -> None:
    found = bundle([resolve_adapter(make_adapter())], written=True)
    assert all(info.writes for info in found)
    assert {info.side for info in found} == {"trait", "cost"}


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (tmp_path / "config.json").write_text("{}")
    save_file({"weight": torch.zeros(1000, 1000)}, tmp_path / "model.safetensors")
    base = resolve_base(str(tmp_path))
    assert parameters(tmp_path) == 1_000_000
    check_memory([base], "float32", free=5_000_000)
    check_memory([base], "bfloat16", free=3_000_000)
    with pytest.raises(ModelError, match=r"GiB of memory in float32.* Give --dtype bfloat16"):
        check_memory([base], "float32", free=3_000_000)
