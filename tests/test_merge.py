"""Adding adapters up and baking them into a base: on real PEFT adapters of a tiny Llama."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import listing
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.bake import bake_adapters
from lapd.adapters.merge import merge_adapters, vllm_rank
from lapd.adapters.switching import load_adapters, switch_adapter
from lapd.errors import BaseMismatchError, ModelError, UsageError
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base
from lapd.testing import make_tiny_base

FOLDER = [
    "README.md",
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "run_card.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModel) -> dict[str, Path]:
    """Adapters of other ranks, scales and modules, one for each pole of INFP; W is at the other end of I."""
    folder = tmp_path_factory.mktemp("adapters")
    kinds: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "I": ({"persona": "I", "poles": {"E/I": "I"}}, {}),
        "N": (
            {"persona": "N", "poles": {"S/N": "N"}},
            {"r": 2, "lora_alpha": 8, "use_rslora": True, "target_modules": ["q_proj", "up_proj"]},
        ),
        "F": (
            {"persona": "F", "poles": {"T/F": "F"}},
            {"rank_pattern": {"v_proj": 3}, "alpha_pattern": {"layers.1.self_attn.q_proj": 5}},
        ),
        "P": ({"persona": "P", "poles": {"J/P": "P"}}, {"target_modules": "all-linear", "r": 8}),
        "E": ({"persona": "E", "poles": {"E/I": "E"}}, {}),
    }
    return {
        name: make_lora(folder / name, tiny_base, seed, card, **lora)
        for seed, (name, (card, lora)) in enumerate(kinds.items())
    }


def weights(model: Any) -> dict[str, Any]:
    """The effective weight of every layer: the base's and, of a PEFT model, the active adapter's update."""
    from peft.tuners.lora import LoraLayer

    found = {}
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            update = module.get_delta_weight(module.active_adapters[0])
            found[name.removeprefix("base_model.model.")] = module.get_base_layer().weight + update
        elif type(module).__name__ == "Linear" and "lora_" not in name and "base_layer" not in name:
            found[name.removeprefix("base_model.model.")] = module.weight
    return found


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.tensor([[5, 17, 300, 42, 7]])).logits


def plain_peft(base: BaseModel, folder: Path) -> Any:
    """What somebody without LAPD would load."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.path), folder).eval()


def test_the_merged_update_is_the_weighted_sum_of_the_updates(
    loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path
) -> None:
    asked = {"I": 1.0, "N": 0.8, "F": -0.7, "P": 1.3}
    parts = [resolve_adapter(f"{loras[name]}@{weight}") for name, weight in asked.items()]
    merged = merge_adapters(parts, tmp_path / "sum")
    bare, _ = load_base(tiny_base)
    expected = {name: weight.clone() for name, weight in weights(bare).items()}
    for part, weight in zip(parts, asked.values(), strict=True):
        bare_again, _ = load_base(tiny_base)
        for name, effective in weights(load_adapters(bare_again, [resolve_adapter(part.path)])).items():
            expected[name] += weight * (effective - weights(bare)[name])
    found = weights(plain_peft(tiny_base, merged.path))
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        assert (found[name] - weight).abs().max() < 2e-6, name
    assert merged.card and merged.card["settings"]["r"] == 4 + 2 + 4 + 8


def test_the_merged_adapter_is_one_that_every_server_takes(
    loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    parts = [resolve_adapter(loras[name]) for name in "INFP"]
    merged = merge_adapters(parts, tmp_path / "sum")
    assert listing(merged.path) == FOLDER
    config = json.loads((merged.path / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 18
    assert not config["rank_pattern"] and not config["alpha_pattern"] and not config["use_rslora"]
    for name, tensor in load_file(merged.path / "adapter_model.safetensors").items():
        assert tensor.shape[0 if "lora_A" in name else 1] == 18
    with_lapd = logits(load_adapters(load_base(tiny_base)[0], [merged]))
    assert (with_lapd - logits(plain_peft(tiny_base, merged.path))).abs().max() == 0


def test_one_adapter_at_a_strength_becomes_a_copy_at_that_strength(
    loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path
) -> None:
    import torch

    half = resolve_adapter(f"{loras['F']}@0.5")
    copy = merge_adapters([half], tmp_path / "half")
    assert copy.persona == "F" and copy.strength == 1
    ours, theirs = (logits(load_adapters(load_base(tiny_base)[0], [adapter])) for adapter in (half, copy))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "persona", "poles"),
    [
        ("INFP", "INFP", {"E/I": "I", "S/N": "N", "T/F": "F", "J/P": "P"}),
        ("PN", None, {"S/N": "N", "J/P": "P"}),
        ("IE", None, {}),
        ("IEN", "N", {"S/N": "N"}),
    ],
)
def test_poles_are_combined_where_they_do_not_conflict(
    loras: dict[str, Path], tmp_path: Path, names: str, persona: str | None, poles: dict[str, str]
) -> None:
    card = merge_adapters([resolve_adapter(loras[name]) for name in names], tmp_path / "sum").card
    assert card and (card["persona"], card["poles"]) == (persona, poles)
    text = (tmp_path / "sum/README.md").read_text()
    assert all(f"| {name} | 1 | " in text for name in names)


def test_the_opposite_of_a_pole_and_a_control_are_nobodys(loras: dict[str, Path], tmp_path: Path) -> None:
    parts = [resolve_adapter(loras["I"]), resolve_adapter(f"{loras['E']}@-1")]
    card = merge_adapters(parts, tmp_path / "difference").card
    assert card and (card["persona"], card["poles"]) == ("I", {"E/I": "I"})
    (record := json.loads((loras["N"] / "run_card.json").read_text()))["control"] = "shuffled"
    control = resolve_adapter(loras["N"])
    control = type(control)(control.name, control.path, control.digest, record)
    card = merge_adapters([parts[0], control], tmp_path / "with-control").card
    assert card and (card["persona"], card["poles"], card["control"]) == (None, {}, None)


def test_the_run_card_says_what_it_was_merged_from(
    loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path
) -> None:
    parts = [resolve_adapter(loras["I"]), resolve_adapter(f"{loras['N']}@0.8")]
    card = merge_adapters(parts, tmp_path / "sum").card
    assert card
    assert [(p["name"], p["digest"], p["weight"]) for p in card["merged_from"]] == [
        ("I", parts[0].digest, 1.0),
        ("N", parts[1].digest, 0.8),
    ]
    assert card["base"]["digest"] == tiny_base.digest
    assert card["data"]["pairs"] == 16


def test_adapters_of_different_bases_are_refused(loras: dict[str, Path], tmp_path: Path) -> None:
    stranger = BaseModel("other", Path("/"), "f" * 64, "someone/other")
    own = resolve_adapter(loras["I"])
    other = type(own)("other", Path("/other"), "c" * 64, {"base": {"name": "other", "digest": "f" * 64}})
    with pytest.raises(BaseMismatchError, match=r"other was trained on other \(digest ffffffffffff\), I on"):
        merge_adapters([own, other], tmp_path / "sum")
    with pytest.raises(BaseMismatchError):
        merge_adapters([own], tmp_path / "sum", stranger)
    with pytest.raises(BaseMismatchError):
        bake_adapters([own], stranger, tmp_path / "sum")
    without_card = type(own)("bare", Path("/bare"), "c" * 64, None)
    with pytest.raises(UsageError, match=r"bare has no run card that names its base\. Give --base"):
        merge_adapters([own, without_card], tmp_path / "sum")
    assert listing(tmp_path) == []


def test_what_is_no_plain_lora_is_refused(tiny_base: BaseModel, tmp_path: Path) -> None:
    dora = make_lora(tmp_path / "dora", tiny_base, 3, use_dora=True)
    with pytest.raises(ModelError, match="dora has use_dora: True; only plain LoRA"):
        merge_adapters([resolve_adapter(dora)], tmp_path / "sum")
    plain = make_lora(tmp_path / "plain", tiny_base, 3)
    (plain / "adapter_model.safetensors").rename(plain / "adapter_model.bin")
    with pytest.raises(ModelError, match="plain is not in safetensors"):
        merge_adapters([resolve_adapter(plain)], tmp_path / "sum")
    assert listing(tmp_path) == ["dora", "plain"]


def test_nothing_is_replaced_unasked_and_nothing_of_others_at_all(loras: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "sum"
    first = merge_adapters([resolve_adapter(loras["I"])], out)
    before = (out / "run_card.json").stat().st_mtime_ns
    merge_adapters([resolve_adapter(loras["I"])], out)
    assert (out / "run_card.json").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"holds something else\. Give another -o, or --force"):
        merge_adapters([resolve_adapter(loras["N"])], out)
    second = merge_adapters([resolve_adapter(loras["N"])], out, force=True)
    assert second.digest != first.digest
    with pytest.raises(UsageError, match="one of the adapters to be merged"):
        merge_adapters([resolve_adapter(out)], out, force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="no adapter or model of LAPD's"):
        merge_adapters([resolve_adapter(loras["N"])], tmp_path / "mine", force=True)
    assert listing(tmp_path) == ["mine", "sum"]


def test_a_failed_merge_leaves_the_old_folder_and_nothing_else(
    loras: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    old = merge_adapters([resolve_adapter(loras["I"])], tmp_path / "sum")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device", str(args[1]))

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        merge_adapters([resolve_adapter(loras["N"])], tmp_path / "sum", force=True)
    assert resolve_adapter(tmp_path / "sum") == old
    assert listing(tmp_path) == ["sum"]


@pytest.mark.parametrize("strength", ["1", "-0.5"])
def test_the_baked_model_answers_as_the_adapter_does(
    loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path, strength: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parts = [resolve_adapter(f"{loras['F']}@{strength}"), resolve_adapter(loras["P"])]
    out = bake_adapters(parts, tiny_base, tmp_path / "served")
    baked = AutoModelForCausalLM.from_pretrained(out).eval()
    summed = merge_adapters(parts, tmp_path / "sum")
    theirs = logits(load_adapters(load_base(tiny_base)[0], [summed]))
    assert (logits(baked) - theirs).abs().max() < 1e-4
    assert (logits(load_base(tiny_base)[0]) - theirs).abs().max() > 0.1
    assert not list(out.glob("*.bin")) and not (out / "adapter_config.json").exists()
    ours, base = (AutoTokenizer.from_pretrained(folder) for folder in (out, tiny_base.path))
    assert ours.chat_template == base.chat_template and ours.eos_token == base.eos_token
    assert "library_name: transformers" in (out / "README.md").read_text()
    assert resolve_base(str(out)).digest != tiny_base.digest


def test_a_half_precision_model_is_rounded_once(loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    part = resolve_adapter(loras["I"])
    out = bake_adapters([part], tiny_base, tmp_path / "served", dtype="bfloat16")
    rounded, _ = load_base(tiny_base, "bfloat16")
    model = load_adapters(load_base(tiny_base)[0], [part])
    layer = model.get_base_model().model.layers[1].self_attn.q_proj
    own = rounded.model.layers[1].self_attn.q_proj.weight.float()
    expected = (own + layer.get_delta_weight(layer.active_adapters[0])).bfloat16()
    found = load_file(out / "model.safetensors")["model.layers.1.self_attn.q_proj.weight"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


def test_an_embedding_that_is_used_at_both_ends_is_not_changed(tiny_base: BaseModel, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="tied"):
        folder = make_lora(tmp_path / "embedding", tiny_base, 4, target_modules=["embed_tokens", "q_proj"])
    with pytest.warns(UserWarning, match="tied"), pytest.raises(ModelError, match="shares with its output"):
        bake_adapters([resolve_adapter(folder)], tiny_base, tmp_path / "served")
    assert listing(tmp_path) == ["embedding"]


def test_without_the_converter_gguf_is_one_line(
    loras: dict[str, Path], tmp_path: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke("merge", loras["I"], "--into-base", "--gguf", "-o", tmp_path / "served")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: --gguf needs llama.cpp's converter, and convert_hf_to_gguf.py is not on the PATH. "
        "It is in llama.cpp's repository, beside its requirements: put the checkout's folder on the PATH."
    ]
    assert listing(tmp_path) == []


def test_the_converter_is_given_the_whole_model_and_its_failure_leaves_nothing(
    loras: dict[str, Path], tmp_path: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp's converter is no package that tests may rely on: a script in its place checks what it is handed."""
    script = tmp_path / "bin/convert_hf_to_gguf.py"
    script.parent.mkdir()
    monkeypatch.setenv("PATH", str(script.parent))

    def converter(body: str) -> None:
        script.write_text(f"#!{sys.executable}\nimport json, pathlib, sys\n{body}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    converter("sys.exit('architecture unknown')")
    command = ["merge", loras["I"], "--into-base", "--gguf", "--dtype", "float16", "-o", tmp_path / "served"]
    result = invoke(*command)
    assert result.exit_code == 1
    assert "convert_hf_to_gguf.py failed: architecture unknown" in result.stderr
    assert listing(tmp_path) == ["bin"]
    converter(
        "model, *rest = sys.argv[1:]\n"
        "names = sorted(p.name for p in pathlib.Path(model).iterdir())\n"
        "pathlib.Path(rest[1]).write_text(json.dumps([rest[0], *rest[2:], *names]))"
    )
    result = invoke(*command, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(Path(json.loads(result.stdout)["gguf"]).read_text())
    assert said[:5] == ["--outfile", "--outtype", "f16", "--model-name", "served"]
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= set(said[5:])


def test_the_command_says_the_rank_and_what_vllm_needs(
    loras: dict[str, Path], tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    parts = [f"{loras['I']}@1", f"{loras['N']}@0.8", loras["F"], loras["P"]]
    result = invoke("merge", *parts, "-o", tmp_path / "sum")
    assert result.exit_code == 0, result.output
    assert "I + N@0.8 + F + P is in" in result.stdout and "(INFP, rank 18)" in result.stdout
    assert "--max-lora-rank 32" in result.stdout
    answer = json.loads(invoke("merge", *parts, "-o", tmp_path / "sum", "--json").stdout)
    assert (answer["rank"], answer["digest"]) == (18, resolve_adapter(tmp_path / "sum").digest)
    baked = invoke("merge", loras["I"], "--into-base", "-o", tmp_path / "served", "--json")
    assert baked.exit_code == 0, baked.output
    answer = json.loads(baked.stdout)
    assert answer["digest"] == resolve_base(answer["model"]).digest and answer["gguf"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dtype", "bfloat16"], "--dtype is for a whole model"),
        (["--gguf"], "--gguf is for a whole model"),
    ],
)
def test_options_of_a_whole_model_need_one(
    loras: dict[str, Path], tmp_path: Path, invoke: Callable[..., Result], options: list[str], message: str
) -> None:
    result = invoke("merge", loras["I"], "-o", tmp_path / "sum", *options)
    assert result.exit_code == 2
    assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_an_adapter_given_twice_is_refused(
    loras: dict[str, Path], tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    result = invoke("merge", loras["I"], f"{loras['I']}@0.5", "-o", tmp_path / "sum")
    assert result.exit_code == 2
    assert "Adapter I is given twice" in result.stderr


def test_the_least_rank_that_vllm_takes() -> None:
    assert [vllm_rank(rank) for rank in (1, 4, 16, 18, 64, 300, 512, 513)] == [1, 8, 16, 32, 64, 320, 512, None]


def test_switching_between_a_merged_adapter_and_its_parts(
    loras: dict[str, Path], tiny_base: BaseModel, tmp_path: Path
) -> None:
    part = resolve_adapter(loras["I"])
    copy = merge_adapters([part], tmp_path / "I-again")
    model = load_adapters(load_base(tiny_base)[0], [part, copy])
    first = logits(model)
    switch_adapter(model, copy)
    assert (logits(model) - first).abs().max() < 1e-5
