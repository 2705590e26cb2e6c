"""An adapter at a strength: how it is named, what it computes, and what an evaluation makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lora import make_lora

from lapd.adapters.adapter import Adapter, resolve_adapter, resolve_adapters
from lapd.adapters.switching import load_adapters, switch_adapter
from lapd.catalog.find import find_task
from lapd.errors import LapdError, ModelError, UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.experiment.file import read_experiment
from lapd.experiment.run import run_experiment
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base
from lapd.record.cells import Arm, Cell, Settings
from lapd.record.store import Store
from lapd.testing import make_tiny_base


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModel) -> Path:
    """A random adapter of rank 4."""
    return make_lora(tmp_path_factory.mktemp("adapters") / "INFP", tiny_base, 1)


def logits(model: Any) -> Any:
    """The tiny model's logits on a few tokens."""
    import torch

    with torch.inference_mode():
        return model(torch.tensor([[5, 17, 300, 42, 7]])).logits


def labels(adapters: list[Adapter]) -> list[str]:
    return [adapter.label for adapter in adapters]


def test_a_strength_is_read_off_the_name_and_shown_in_it(make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter()
    half = resolve_adapter(f"{folder}@0.50")
    assert (half.name, half.label, half.strength) == ("INFP", "INFP@0.5", 0.5)
    assert (half.path, half.digest) == (folder, resolve_adapter(folder).digest)
    assert resolve_adapter(f"{folder}@1") == resolve_adapter(folder)
    assert resolve_adapter(f"{folder}/@-1").label == "INFP@-1"
    assert resolve_adapter(f"{folder}@2").label == "INFP@2"


def test_several_strengths_and_patterns_sort_by_strength(make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter()
    make_adapter("ENTJ", weights=b"other")
    assert labels(resolve_adapters([f"{folder}@1.5,-0.5,1,0.5,1"])) == ["INFP@-0.5", "INFP@0.5", "INFP", "INFP@1.5"]
    assert labels(resolve_adapters([f"{folder.parent}/*@0.5,1"])) == ["ENTJ@0.5", "ENTJ", "INFP@0.5", "INFP"]
    assert labels(resolve_adapters([f"{folder}@0.5", f"{folder}", f"{folder}@0.5"])) == ["INFP@0.5", "INFP"]


def test_a_folder_that_is_called_so_is_that_folder(make_adapter: Callable[..., Path]) -> None:
    folder = make_adapter("INFP@0.5")
    named = resolve_adapter(folder)
    assert (named.label, named.strength) == ("INFP@0.5", 1)
    assert labels(resolve_adapters([f"{folder.parent}/I*@0.5"])) == ["INFP@0.5"]
    assert resolve_adapter(f"{folder}@2").label == "INFP@0.5@2"
    with pytest.raises(UsageError, match=r"Two adapters are called 'INFP@0\.5'"):
        resolve_adapters([str(folder), f"{make_adapter('INFP')}@0.5,1", str(folder)])
    assert resolve_adapter(f"{folder}").strength == 1


def test_one_name_for_two_folders_is_refused(make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_adapter()
    shutil.copytree(folder, tmp_path / "elsewhere/INFP")
    with pytest.raises(UsageError, match="Two adapters are called 'INFP'"):
        resolve_adapters([f"{folder}@0.5", str(tmp_path / "elsewhere/INFP")])


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        ("2.01", r"INFP@2\.01: 2\.01 is no strength from -1 to 2"),
        ("-1.5", "is no strength from -1 to 2"),
        ("nan", "nan is no strength"),
        ("inf", "inf is no strength"),
        ("half", "INFP@half: 'half' is no strength. Give a number from -1 to 2"),
        ("", "INFP@: '' is no strength"),
        ("0", "INFP@0: at strength 0 an adapter is its base"),
        ("0.0", "at strength 0 an adapter is its base"),
        ("-0", "at strength 0"),
    ],
)
def test_what_is_no_strength_is_refused(make_adapter: Callable[..., Path], strength: str, message: str) -> None:
    folder = make_adapter()
    with pytest.raises(UsageError, match=message):
        resolve_adapter(f"{folder}@{strength}")
    with pytest.raises(UsageError, match=message):
        resolve_adapters([f"{folder}@0.5,{strength}"])


def test_an_adapter_that_is_not_there_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"INFP@0\.5: there is no such adapter folder"):
        resolve_adapter(tmp_path / "INFP@0.5")
    with pytest.raises(UsageError, match=r"No adapter folder matches '.*\*@0.5'"):
        resolve_adapters([f"{tmp_path}/*@0.5"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"peft_type": "IA3"}, "INFP is IA3"),
        ({"use_dora": True}, "use_dora: True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias: all"),
    ],
)
def test_only_plain_lora_has_a_strength(
    make_adapter: Callable[..., Path], setting: dict[str, object], message: str
) -> None:
    folder = make_adapter()
    config = {"base_model_name_or_path": "someone/fake", "modules_to_save": None, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config | setting))
    assert resolve_adapter(f"{folder}@1").strength == 1
    with pytest.raises(ModelError, match=message):
        resolve_adapter(f"{folder}@0.5")


def test_the_digest_is_of_weights_and_config_not_of_the_card(lora: Path, tmp_path: Path) -> None:
    copy = tmp_path / "INFP"
    shutil.copytree(lora, copy)
    (copy / "README.md").write_text("Measured: much.")
    assert resolve_adapter(copy).digest == resolve_adapter(lora).digest
    (copy / "adapter_config.json").write_text((lora / "adapter_config.json").read_text() + " ")
    assert resolve_adapter(copy).digest != resolve_adapter(lora).digest


def test_the_cell_of_strength_1_is_the_cell_that_it_always_was(base: BaseModel) -> None:
    """The name is of a version that knew no strengths: cells that are done stay done."""
    adapter = Adapter("INFP", Path("/nowhere"), "a" * 64, {"persona": "INFP"})
    cell = Cell(base, Arm(adapter), find_task("mbti"), "t" * 64, Settings())
    assert cell.name == "19d234bb58fe9be2"
    assert "strength" not in cell.identity()
    half = Cell(base, Arm(replace(adapter, strength=0.5)), find_task("mbti"), "t" * 64, Settings())
    assert half.identity() == cell.identity() | {"strength": 0.5}


def test_an_arm_is_named_by_its_strength_and_compared_with_the_base(base: BaseModel, tmp_path: Path) -> None:
    trained = Adapter("INFP", Path("/nowhere/INFP"), "a" * 64, {"persona": "INFP"})
    half, whole, more = (replace(trained, strength=s) for s in (0.5, 1.0, 1.5))
    store = Store(tmp_path / "run")

    def enter(adapters: list[Adapter]) -> None:
        store.enter(make_cells(base, make_arms(adapters), [find_task("mbti")], Settings()))

    enter([whole, more])
    enter([half])
    arms = store.run()["arms"]
    assert [name for name in arms if "prompt" not in name] == ["base", "INFP@0.5", "INFP", "INFP@1.5"]
    assert arms["INFP@0.5"]["adapter"] == {
        "name": "INFP",
        "path": "/nowhere/INFP",
        "digest": "a" * 64,
        "strength": 0.5,
    }
    assert "strength" not in arms["INFP"]["adapter"]
    assert arms["INFP@0.5+prompt(INFP)"]["baseline"] == "base+prompt(INFP)"
    before = (tmp_path / "run/run.json").stat().st_mtime_ns
    enter([half, whole, more])
    assert (tmp_path / "run/run.json").stat().st_mtime_ns == before
    assert len(store.run()["cells"]) == len({e["cell"] for e in store.run()["cells"].values()}) == 8


@pytest.mark.parametrize("strength", [-1.0, 0.3, 0.5, 1.5, 2.0])
def test_a_strength_multiplies_the_update(lora: Path, tiny_base: BaseModel, tmp_path: Path, strength: float) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "scaled"
    shutil.copytree(lora, copy)
    tensors = load_file(lora / "adapter_model.safetensors")
    scaled = {name: t * strength if "lora_B" in name else t for name, t in tensors.items()}
    save_file(scaled, copy / "adapter_model.safetensors", {"format": "pt"})
    base_logits = logits(load_base(tiny_base)[0])
    ours = logits(load_adapters(load_base(tiny_base)[0], [resolve_adapter(f"{lora}@{strength}")]))
    theirs = logits(load_adapters(load_base(tiny_base)[0], [resolve_adapter(copy)]))
    assert (ours - base_logits).abs().max() > 0.1
    assert (ours - theirs).abs().max() < 1e-5 * base_logits.abs().max()
    if strength in (-1.0, 0.5, 2.0):  # powers of two: nothing is rounded
        assert torch.equal(ours, theirs)


def test_no_order_of_switching_leaves_a_trace(lora: Path, tiny_base: BaseModel, tmp_path: Path) -> None:
    import torch

    base_logits = logits(load_base(tiny_base)[0])
    other = resolve_adapter(make_lora(tmp_path / "other", tiny_base, 2))
    arms = [None, other, *resolve_adapters([f"{lora}@-1,0.3,1,1.7"])]
    model = load_adapters(load_base(tiny_base)[0], [arm for arm in arms if arm])
    assert len(model.peft_config) == 2  # one adapter serves its four strengths
    first: dict[int, Any] = {}
    for number in (5, 0, 1, 2, 3, 4, 5, 3, 0, 2, 4, 1, 5, 4, 3, 2, 1, 0):
        switch_adapter(model, arms[number])
        found = logits(model)
        assert torch.equal(found, first.setdefault(number, found))
    assert torch.equal(first[0], base_logits)
    assert torch.equal(first[4], logits(load_adapters(load_base(tiny_base)[0], [resolve_adapter(lora)])))
    assert torch.equal(first[1], logits(load_adapters(load_base(tiny_base)[0], [other])))


def test_eval_measures_each_strength_against_the_base(
    lora: Path, tiny_base: BaseModel, tmp_path: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--tasks", "situations", "--limit", "4", "--arms", "base,adapter"]
    result = invoke("eval", "--adapter", f"{lora}@0.5,1", *options, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["run"] == "runs/INFP"
    found = {r["arm"]: r["metrics"] for r in answer["results"]}
    assert list(found) == ["base", "INFP@0.5", "INFP"]
    assert len({json.dumps(metrics) for metrics in found.values()}) == 3
    cells = set(Path("runs/INFP/cells").iterdir())
    alone = invoke("eval", "--adapter", str(lora), *options, "--json", "-o", "alone")
    assert {p.name for p in Path("alone/cells").iterdir()} < {p.name for p in cells}
    assert {r["arm"]: r["metrics"] for r in json.loads(alone.stdout)["results"]}["INFP"] == found["INFP"]
    rows = json.loads(invoke("compare", "runs/INFP", "--json").stdout)
    assert {(r["arm"], r["baseline"]) for r in rows} == {("INFP@0.5", "base"), ("INFP", "base")}
    assert {r["persona"] for r in rows} == {"INFP"}  # of four documents no axis is a row of its own
    assert invoke("report", "runs/INFP").exit_code == 0
    page = Path("runs/INFP/report.html").read_text()
    assert "INFP@0.5" in page and "at strength 0.5" in page


def test_chat_takes_a_strength(lora: Path) -> None:
    from lapd.cli import cli

    options = ["chat", "--adapter", f"{lora}@0.5", "--max-tokens", "2", "--temperature", "0"]
    result = CliRunner().invoke(cli, options, input="Hello\n/base\nHello\n/persona\nHello\n/quit\n")
    assert result.exit_code == 0, result.output
    assert "INFP@0.5 answers." in result.stderr
    said = [line.partition(":")[0] for line in result.stdout.splitlines() if ": " in line]
    assert said[0] == said[2] == "INFP@0.5" != said[1]


def test_chat_takes_one_adapter(invoke: Callable[..., Result]) -> None:
    result = invoke("chat", "out/INFP", "--adapter", "out/INFP")
    assert result.exit_code == 2
    assert "Two adapters were given" in result.stderr


def experiment(tmp_path: Path, base: object, **evaluate: object) -> Path:
    """An experiment's file: two pairs, one step, four documents."""
    path = tmp_path / "experiment.yaml"
    train = {"pairs": 2, "epochs": 1, "batch_size": 2, "precision": "float32"}
    evaluate = {"tasks": ["situations"], "arms": ["base", "adapter"], "limit": 4, **evaluate}
    settings = {"name": "strengths", "base": str(base), "personas": ["INFP"], "out": str(tmp_path / "run")}
    path.write_text(json.dumps({**settings, "train": train, "evaluate": evaluate}))
    return path


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ([], "strengths: name at least one"),
        ([0], "strengths: at strength 0 an adapter is its base"),
        ([0.5, 3], "strengths: 3 is no strength from -1 to 2"),
        (["half"], r"strengths: \['half'\] is not list"),
        (0.5, r"strengths: 0\.5 is not list"),
    ],
)
def test_an_experiments_strengths_are_checked_before_any_work(tmp_path: Path, strengths: object, message: str) -> None:
    with pytest.raises(LapdError, match=message):
        read_experiment(experiment(tmp_path, "smollm2", strengths=strengths))


@pytest.mark.slow
def test_an_experiment_measures_its_adapters_at_each_strength(tiny_base: BaseModel, tmp_path: Path) -> None:
    path = experiment(tmp_path, tiny_base.path, strengths=[1, 0.5])
    rows, _ = run_experiment(path, quiet=True)
    assert {(row.arm, row.baseline) for row in rows} == {("INFP@0.5", "base"), ("INFP", "base")}
    card = (tmp_path / "run/adapters/INFP/README.md").read_text()
    assert "## Measured" in card and "| INFP@0.5 | base | situations |" in card
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    run_experiment(path, quiet=True)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()} == times
