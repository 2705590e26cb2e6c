"""Evaluating on the embedded model: the same numbers as lm-eval's own model, cells that survive, arms that switch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SCRIPT
from warm import Warm

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.switching import switch_adapter
from lapd.answering.engine import Engine
from lapd.catalog.find import find_task
from lapd.errors import LapdError, ModelError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.experiment.arms import evaluate_arms
from lapd.models.base import resolve_base
from lapd.models.loading import load_base
from lapd.names import get_persona
from lapd.record.cells import Arm, Settings
from lapd.record.store import Store
from lapd.testing import make_tiny_base

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    """LAPD's lm-eval model and lm-eval's own, on one copy of the embedded model."""
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM

    model, tokenizer = load_base(resolve_base("smollm2"))
    kwargs = {"tokenizer": tokenizer, "batch_size": 8, "max_length": 2048}
    return PackedLM(model, **kwargs), HFLM(model, **kwargs)


def requests_of(task_name: str, lm: Any, limit: int, system: str | None) -> list[Any]:
    """The requests that lm-eval makes of a task's first documents."""
    from lm_eval.tasks import TaskManager

    info = find_task(task_name)
    metadata = {"tokenizer": str(resolve_base("smollm2").path)}
    manager = TaskManager(include_path=str(info.include_path), include_defaults=False, metadata=metadata)
    task = manager.load([task_name])["tasks"][task_name]
    task.build_all_requests(
        limit=limit,
        system_instruction=system,
        apply_chat_template=True,
        chat_template=lm.apply_chat_template,
        tokenizer_name="smollm2",
    )
    return task.instances


@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize(("task", "limit"), [("socialiqa_mini", 4), ("mbti", 5), ("situations", 2)])
def test_packed_scores_are_lm_evals(models: tuple[Any, Any], task: str, limit: int, prompted: bool) -> None:
    ours, theirs = models
    assert ours.packs
    requests = requests_of(task, ours, limit, get_persona("INFP").system_prompt if prompted else None)
    packed = ours.loglikelihood(requests)
    plain = theirs.loglikelihood(requests, disable_tqdm=True)
    # A sum over some sixty tokens: on one make of processor float32's rounding alone comes to .00103 of 250 nats.
    assert all(a[0] == pytest.approx(b[0], rel=1e-5, abs=1e-3) for a, b in zip(packed, plain, strict=True))
    assert [a[1] for a in packed] == [b[1] for b in plain]


def test_rows_beyond_a_sliding_window_score_as_lm_evals_do(models: tuple[Any, Any]) -> None:
    """A window that slides over the last tokens does not go with packed rows: longer ones are asked one by one."""
    from lm_eval.models.huggingface import HFLM
    from transformers import MistralConfig, MistralForCausalLM, set_seed

    from lapd.answering.lm import PackedLM

    ours, _ = models
    set_seed(0)
    config = MistralConfig(
        vocab_size=49152, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=16, max_position_embeddings=512,
    )  # fmt: skip
    kwargs = {"tokenizer": ours.tokenizer, "batch_size": 4, "max_length": 512}
    model = MistralForCausalLM(config).eval()
    window = PackedLM(model, **kwargs)
    requests = requests_of("socialiqa_mini", window, 4, None)
    assert window.work(requests) > 0
    expected = HFLM(model, **kwargs).loglikelihood(requests, disable_tqdm=True)
    for a, b in zip(window.loglikelihood(requests), expected, strict=True):
        assert a == pytest.approx(b, abs=1e-4)


def test_switching_adapters_changes_the_logits_and_leaves_the_base_as_it_was(small_adapter: Path) -> None:
    import torch

    adapter = resolve_adapter(small_adapter)
    engine = Engine(resolve_base("smollm2"), [adapter])
    ids = torch.tensor([[1, 9690, 198, 2683]])
    with torch.inference_mode():
        bare = load_base(resolve_base("smollm2"))[0](ids).logits
        switch_adapter(engine.subject.model, adapter)
        adapted = engine.subject.model(ids).logits
        switch_adapter(engine.subject.model, None)
        assert torch.equal(engine.subject.model(ids).logits, bare)
        assert not torch.equal(adapted, bare)
        switch_adapter(engine.subject.model, adapter)
        assert torch.equal(engine.subject.model(ids).logits, adapted)


def test_a_template_that_drops_the_system_prompt_is_refused(tmp_path: Path) -> None:
    """lm-eval only warns, and the persona is silently lost."""
    engine = Engine(resolve_base("smollm2"), [])
    engine.lm.tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    arm = Arm(None, get_persona("INFP"))
    cells = make_cells(resolve_base("smollm2"), [arm], [find_task("situations")], Settings(limit=1))
    with pytest.raises(ModelError, match=r"drops the system prompt.*--fold-system-prompt"):
        engine.run(cells[0], Store(tmp_path))
    assert not Store(tmp_path).is_done(cells[0].name)
    settings = Settings(limit=1, fold_system_prompt=True)
    folded = make_cells(resolve_base("smollm2"), [arm], [find_task("situations")], settings)[0]
    engine.run(folded, Store(tmp_path))
    (sample,) = Store(tmp_path).samples(folded.name)
    assert sample["arguments"][0][0] == f"{get_persona('INFP').system_prompt}\n\n{sample['doc']['prompt']}"


def test_only_a_system_message_before_the_users_is_folded() -> None:
    from lapd.answering.lm import fold_system_message

    system, user, answer = ({"role": r, "content": r[0]} for r in ("system", "user", "assistant"))
    assert fold_system_message([system, user, answer]) == [{"role": "user", "content": "s\n\nu"}, answer]
    assert fold_system_message([user, answer]) == [user, answer]
    assert fold_system_message([system]) == [system]


def test_lm_evals_failure_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(resolve_base("smollm2"), [])
    cells = make_cells(resolve_base("smollm2"), [Arm()], [find_task("situations")], Settings(limit=1))
    monkeypatch.setattr(engine.lm, "loglikelihood", lambda requests: 1 / 0)
    with pytest.raises(LapdError, match="base on situations: lm-eval failed"):
        engine.run(cells[0], Store(tmp_path))


def test_eval_prints_json_and_answers_in_two_arms(
    small_adapter: Path, tmp_path: Path, warm_lapd: Callable[..., Any]
) -> None:
    command = (
        "eval", "--adapter", f"{small_adapter.parent}/IN*", "--tasks", "situations,situations_open", "--limit", 2,
        "--arms", "base,adapter", "-o", tmp_path / "run", "--json",
    )  # fmt: skip
    result = warm_lapd(*command)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    found = {(r["arm"], r["task"]): r["metrics"] for r in record["results"]}
    assert set(found) == {(arm, task) for arm in ("base", "INFP") for task in ("situations", "situations_open")}
    assert found["base", "situations"]["log_odds_EI"] != found["INFP", "situations"]["log_odds_EI"]
    samples = Store(tmp_path / "run").samples(record["results"][0]["cell"])
    assert [s["item"] for s in samples] == ["ei-101", "sn-101"]
    again = warm_lapd(*command)
    assert json.loads(again.stdout) == record
    assert "4 cells, 4 of them done" in again.stderr


def read_store(folder: Path) -> dict[str, Any]:
    """Everything in a run's cells but the times and the settings of the machine."""
    content: dict[str, Any] = {}
    for path in sorted(folder.glob("cells/*/*")):
        if path.name == "result.json":
            record = json.loads(path.read_text())
            content[str(path.relative_to(folder))] = {
                k: v for k, v in record.items() if k not in ("finished", "seconds", "provenance")
            }
        elif path.name != ".lock":
            content[str(path.relative_to(folder))] = path.read_bytes()
    return content


def test_a_killed_evaluation_goes_on_and_ends_in_the_same_bytes(warm: Warm, tmp_path: Path) -> None:
    tasks = ("--tasks", "mbti,situations_open", "--limit", 8, "--batch-size", 1)
    command = (SCRIPT, "eval", "--base", make_tiny_base(tmp_path / "base"), *tasks, "-o")
    assert warm.run(*command, tmp_path / "whole").returncode == 0
    journal: list[Path] = []
    process = warm.start(*command, tmp_path / "killed")
    while not any(p.stat().st_size for p in journal):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
        journal = list(tmp_path.glob("killed/cells/*/journal.jsonl"))
    process.kill()
    process.communicate()
    finished = next(p for p in journal if p.stat().st_size).read_bytes()
    assert warm.run(*command, tmp_path / "killed").returncode == 0
    assert finished
    assert read_store(tmp_path / "killed") == read_store(tmp_path / "whole")
    assert not list(tmp_path.glob("killed/cells/*/journal.jsonl"))


def test_a_cell_that_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    base = resolve_base("smollm2")
    arms = make_arms([], ["base"])
    cell = make_cells(base, arms, [find_task("situations")], Settings(limit=1))[0]
    store = Store(tmp_path)
    with store.claim(cell.name) as mine:
        assert mine
        code = (
            "from lapd.record.store import Store; from pathlib import Path; import sys\n"
            "with Store(Path(sys.argv[1])).claim(sys.argv[2]) as mine: print(mine)"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path, cell.name], capture_output=True, text=True, check=True
        )
    assert other.stdout.strip() == "False"


def test_lm_evals_own_tasks_and_models_work(warm: Warm, tmp_path: Path, small_adapter: Path) -> None:
    """A stock `lm_eval` with plain PEFT gives the same scores as LAPD on the same documents."""
    base = resolve_base("smollm2")
    adapter = resolve_adapter(small_adapter)
    store = evaluate_arms(base, [Arm(adapter)], ["situations", "mbti"], tmp_path / "run", Settings(limit=4), quiet=True)
    ours = {r["task"]: r["metrics"] for r in store.results()}
    command = (
        SCRIPT.with_name("lm_eval"), "run", "--model", "hf",
        "--model_args", f"pretrained={base.path},peft={small_adapter},dtype=float32",
        "--include_path", find_task("mbti").include_path, "--tasks", "situations,mbti", "--limit", "4",
        "--apply_chat_template", "--batch_size", "4", "--output_path", tmp_path / "stock",
    )  # fmt: skip
    stock = warm.run(*command)
    assert stock.returncode == 0, stock.stderr[-2000:]
    theirs = json.loads(next((tmp_path / "stock").rglob("results*.json")).read_text())["results"]
    for task, metrics in ours.items():
        assert metrics
        for name, value in metrics.items():
            assert theirs[task][f"{name},none"] == pytest.approx(value, abs=1e-2), name
