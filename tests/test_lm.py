"""The lm-eval model `lapd`: what lm-eval's own `hf` answers, on a tiny model with random weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run_python
from warm import Warm

from lapd.catalog.find import find_task
from lapd.catalog.live import build_requests, load_task
from lapd.models.embedded import embedded_folder
from lapd.record.journal import Journal
from lapd.testing import make_tiny_base

LM_EVAL = Path(sys.executable).with_name("lm_eval")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def make_lm(folder: Path) -> Callable[..., Any]:
    """`make_lm(name, **kwargs)`: lm-eval's model of that name on the tiny model, as lm-eval makes it."""
    from lm_eval.api.registry import get_model

    import lapd.answering.lm  # noqa: F401  (registers `lapd`)

    def make(name: str, **kwargs: Any) -> Any:
        arguments = {"pretrained": str(folder), "dtype": "float32", **kwargs}
        return get_model(name).create_from_arg_obj(arguments, {"batch_size": "4", "device": "cpu"})

    return make


@pytest.fixture
def zeroed_or_random(folder: Path, tmp_path: Path) -> Callable[[str, bool], Path]:
    """`make(name, trained)`: a LoRA adapter of the tiny model, untrained or with random weights."""

    def make(name: str, trained: bool) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config)
        if trained:
            for parameter_name, parameter in model.named_parameters():
                if "lora_B" in parameter_name:
                    torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


def scoring_requests(lm: Any, task: str = "socialiqa_mini", limit: int = 6) -> list[Any]:
    tokenizer = str(embedded_folder())
    return build_requests(load_task(find_task(task), tokenizer=tokenizer), limit, lm.apply_chat_template)


def instance(kind: str, *arguments: Any) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(kind, {}, arguments, 0)


def assert_same_scores(ours: list[tuple[float, bool]], theirs: list[tuple[float, bool]]) -> None:
    assert len(ours) == len(theirs)
    assert max(abs(a[0] - b[0]) for a, b in zip(ours, theirs, strict=True)) < 1e-3
    assert [a[1] for a in ours] == [b[1] for b in theirs]


@pytest.mark.parametrize("task", ["socialiqa_mini", "mbti"])
def test_scores_are_hfs(make_lm: Callable[..., Any], task: str) -> None:
    ours, theirs = make_lm("lapd"), make_lm("hf")
    assert ours.packs and ours.batch_size == 4
    requests = scoring_requests(ours, task, 14)
    assert_same_scores(ours.loglikelihood(requests), theirs.loglikelihood(requests))


def test_many_continuations_of_one_context_go_on_in_more_rows(make_lm: Callable[..., Any]) -> None:
    ours, theirs = make_lm("lapd"), make_lm("hf")
    requests = [instance("loglikelihood", "Tell me:", f" {n} and {n * 7} and {n * 31} make a sum") for n in range(60)]
    pairs = [ours._encode_pair(*request.args) for request in requests]
    assert len([row for batch in ours._batches(pairs) for row in batch.rows]) > 2
    assert_same_scores(ours.loglikelihood(requests), theirs.loglikelihood(requests))


def test_contexts_that_are_branches_of_one_row_are_scored_as_alone(make_lm: Callable[..., Any]) -> None:
    ours, theirs = make_lm("lapd"), make_lm("hf")
    sides = ("the sea", "the hills", "a town")
    contexts = [f"Day {n}: the boat sailed on and on. She likes {side}" for n in range(5) for side in sides]
    requests = [instance("loglikelihood", context, word) for context in contexts for word in (" most", " more so")]
    pairs = [ours._encode_pair(*request.args) for request in requests]
    rows = [row for batch in ours._batches(pairs) for row in batch.rows]
    assert len(rows) < len(contexts) and any(row.given for row in rows)
    assert_same_scores(ours.loglikelihood(requests), theirs.loglikelihood(requests))


def test_an_empty_context_is_the_beginning_of_a_text(make_lm: Callable[..., Any]) -> None:
    ours, theirs = make_lm("lapd"), make_lm("hf")
    requests = [instance("loglikelihood", "", " A quiet morning."), instance("loglikelihood", "", " Rain")]
    assert ours.work(requests) > 0
    assert_same_scores(ours.loglikelihood(requests), theirs.loglikelihood(requests))


def test_rolling_likelihoods_are_hfs(make_lm: Callable[..., Any]) -> None:
    ours, theirs = make_lm("lapd", max_length=32), make_lm("hf", max_length=32)
    words = " ".join(str(n) for n in range(60))
    requests = [instance("loglikelihood_rolling", text) for text in (words, "A short one.", words[50:])]
    assert ours.work(requests) > 0
    found, expected = ours.loglikelihood_rolling(requests), theirs.loglikelihood_rolling(requests)
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_request_longer_than_the_window_loses_its_beginning_as_in_hf(make_lm: Callable[..., Any]) -> None:
    ours, theirs = make_lm("lapd", max_length=16), make_lm("hf", max_length=16)
    context = " ".join(str(n) for n in range(40))
    requests = [instance("loglikelihood", context, f" {n} {n}") for n in range(5)]
    assert_same_scores(ours.loglikelihood(requests), theirs.loglikelihood(requests))


def test_batch_size_auto_needs_no_trying_out(make_lm: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    from lm_eval.api.registry import get_model

    hf = make_lm("hf")
    lm = get_model("lapd").create_from_arg_obj({"pretrained": hf.pretrained}, {"batch_size": "auto", "device": "cpu"})
    requests = scoring_requests(lm)
    assert_same_scores(lm.loglikelihood(requests), hf.loglikelihood(requests))
    assert "batch size" not in capsys.readouterr().out


@pytest.mark.slow
def test_float32_is_the_default_and_smollm2_a_name() -> None:
    """`hf` would take the bfloat16 that the weights are kept in."""
    import torch
    from lm_eval.api.registry import get_model

    import lapd.answering.lm  # noqa: F401  (registers `lapd`)

    lm: Any = get_model("lapd")(pretrained="SmolLM2", device="cpu")
    assert lm.packs and lm.model.dtype == torch.float32


def test_lm_evals_bar_is_shown_only_where_nobody_else_shows_one(
    make_lm: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lm = make_lm("lapd")
    requests = scoring_requests(lm, limit=2)
    lm.loglikelihood(requests)
    assert "Running loglikelihood requests: 100%" in capsys.readouterr().err
    done: list[int] = []
    lm.on_progress = done.append
    lm.loglikelihood(requests)
    assert capsys.readouterr().err == ""
    assert sum(done) == lm.work(requests)


def test_a_finished_batch_is_not_computed_again(make_lm: Callable[..., Any], tmp_path: Path) -> None:
    lm = make_lm("lapd")
    lm.batch_size_per_gpu = 1
    requests = scoring_requests(lm, limit=10)
    whole = lm.loglikelihood(requests)
    batches: list[int] = []
    score = lm._score_batch
    lm._score_batch = lambda batch, prefix: (batches.append(len(batch.rows)), score(batch, prefix))[1]
    with Journal(tmp_path / "journal") as lm.journal:
        assert lm.loglikelihood(requests) == whole
    kept = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    computed = len(batches)
    assert computed == len(kept) - 1 > 2
    (tmp_path / "journal").write_bytes(b"".join(kept[:3]) + kept[3][:7])  # as a kill leaves it
    with Journal(tmp_path / "journal") as lm.journal:
        assert lm.loglikelihood(requests) == whole
    assert len(batches) == computed + computed - 2


def test_a_model_that_computes_in_mixed_precision_is_left_to_hf(
    make_lm: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lm = make_lm("lapd", mixed_precision_dtype="bfloat16")
    assert not lm.packs
    assert "scoring one continuation at a time" in capsys.readouterr().err


@pytest.mark.parametrize("trained", [True, False])
def test_the_canary_tells_an_adapter_that_does_nothing(
    folder: Path, zeroed_or_random: Callable[[str, bool], Path], trained: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    from lapd.adapters.adapter import resolve_adapter
    from lapd.answering.engine import Engine
    from lapd.models.base import resolve_base

    adapter = resolve_adapter(zeroed_or_random("INFP", trained))
    Engine(resolve_base(str(folder)), [adapter, resolve_adapter(zeroed_or_random("ESTJ", True))])
    warned = capsys.readouterr().err
    assert ("INFP is untrained" in warned) is not trained
    assert "ESTJ" not in warned


def test_the_canary_refuses_what_would_spoil_a_measurement(
    folder: Path, zeroed_or_random: Callable[[str, bool], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.switching import load_adapters
    from lapd.answering import canary
    from lapd.errors import ModelError
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    adapter = resolve_adapter(zeroed_or_random("INFP", True))
    model = load_adapters(load_base(resolve_base(str(folder)))[0], [adapter])
    canary.check_adapters(model, [adapter])
    with monkeypatch.context() as patch, pytest.raises(ModelError, match="does not change the model's logits"):
        patch.setattr(canary, "switch_adapter", lambda model, *_: model.base_model.disable_adapter_layers())
        canary.check_adapters(model, [adapter])
    with monkeypatch.context() as patch, pytest.raises(ModelError, match="does not bring the base's logits back"):

        def leaky(model: Any, *_: Any) -> None:
            with torch.no_grad():
                next(model.parameters()).add_(0.01)

        patch.setattr(canary, "switch_adapter", leaky)
        canary.check_adapters(model, [adapter])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(float("nan"))
    with pytest.raises(ModelError, match="no numbers"):
        canary.check_adapters(model, [adapter])


@pytest.fixture
def run_lm_eval(warm: Warm, tmp_path: Path) -> Callable[..., Any]:
    """`run_lm_eval(*args)`: what a stock `lm_eval run` writes: its results file, read."""

    def run(*args: object) -> Any:
        result = warm.run(LM_EVAL, "run", *args, "--device", "cpu", "--output_path", tmp_path / "out", cwd=tmp_path)
        assert result.returncode == 0, result.stderr[-3000:]
        newest = max((tmp_path / "out").rglob("results*.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text()), result, sorted(newest.parent.glob("samples*.jsonl"))

    return run


def test_a_stock_lm_eval_runs_it(
    folder: Path, zeroed_or_random: Callable[[str, bool], Path], tmp_path: Path, run_lm_eval: Callable[..., Any]
) -> None:
    adapter = zeroed_or_random("INFP", True)
    asked: tuple[object, ...] = (
        "--include_path", find_task("mbti").include_path, "--tasks", "socialiqa_mini,situations_open", "--limit", 4,
        "--apply_chat_template", "--log_samples", "--gen_kwargs", "max_gen_toks=8",
        "--model_args", f"pretrained={folder},peft={adapter},dtype=float32",
    )  # fmt: skip
    theirs, _, _ = run_lm_eval("--model", "hf", *asked, "--batch_size", 4)
    asked = ("--model", "lapd", *asked, "--batch_size", "auto", "--use_cache", tmp_path / "cache")
    ours, run, samples = run_lm_eval(*asked)
    assert "Running loglikelihood requests: 100%" in run.stderr
    assert "Running generate_until requests: 100%" in run.stderr
    assert len(samples) >= 2
    for task, metrics in theirs["results"].items():
        for name, value in metrics.items():
            if isinstance(value, float):
                assert ours["results"][task][name] == pytest.approx(value, abs=1e-3), (task, name)
    again, run, _ = run_lm_eval(*asked)
    assert again["results"] == ours["results"]
    assert "Running loglikelihood requests: 100%" not in run.stderr


def test_registering_leaves_a_program_without_lm_eval_alone() -> None:
    code = (
        "import sys, lapd.answering.stock as m\nm.register()\n"
        "assert not [name for name in ('lm_eval', 'torch') if name in sys.modules]\n"
        "import lm_eval\nm.register(); m.register()\nassert 'torch' not in sys.modules\n"
        "from lm_eval.api.registry import model_registry\nassert {'lapd', 'hf'} <= set(model_registry)"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
