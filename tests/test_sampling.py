"""Sampled answers: each depends on its item, its number and the seed alone; they are averaged before pairing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from odd_tasks import CHOICE, WRITTEN, evaluate, only_result, only_samples, register, write_tasks

from lapd.answering.sampling import Drawing, Sampling, draw
from lapd.catalog.find import find_task
from lapd.compare.items import whole_items
from lapd.errors import UsageError
from lapd.evaluate.plan import make_cells
from lapd.experiment.arms import plan_cells
from lapd.models.base import BaseModel, resolve_base
from lapd.record.cells import Arm, Settings
from lapd.testing.tiny import make_tiny_base

WARM = Sampling(1.0, seed=3, item="id")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


@pytest.fixture(scope="module")
def lm(tiny: BaseModel) -> Any:
    from lapd.answering.lm import PackedLM

    return PackedLM(str(tiny.path), dtype="float32", batch_size=8, device="cpu")


def request(n: int, words: str = "") -> Any:
    from lm_eval.api.instance import Instance

    settings = {"until": [], "max_gen_toks": 10, "do_sample": False}
    return Instance("generate_until", {"id": f"i{n}"}, (f"Say {words or 'it ' * (n % 4)}now:", settings), 0)


def answers(lm: Any, requests: list[Any], batch_size: int, sampling: Sampling = WARM, number: int = 1) -> list[str]:
    lm.batch_size_per_gpu, lm.sampling = batch_size, sampling
    try:
        drawing = Drawing(lm, number)
        return [text for _ in range(number) for text in drawing.generate_until(requests, disable_tqdm=True)]
    finally:
        lm.batch_size_per_gpu, lm.sampling = 8, None


def test_an_answer_depends_neither_on_the_batch_nor_on_its_size_nor_on_the_order(lm: Any) -> None:
    requests = [request(n) for n in range(9)]
    texts = answers(lm, requests, 8)
    assert len(set(texts)) > 6
    assert answers(lm, requests, 1) == answers(lm, requests, 3) == texts
    assert answers(lm, requests[::-1], 3) == texts[::-1]
    assert answers(lm, [requests[4]], 8) == [texts[4]]


def test_one_prompt_has_another_answer_for_each_item_number_and_seed(lm: Any) -> None:
    same = [request(n, "the same ") for n in range(3)]
    texts = answers(lm, same, 8, number=3)
    assert len(set(texts)) == 9
    assert answers(lm, same, 8, number=2) == texts[:6]  # more answers leave the first ones as they are
    assert set(answers(lm, same, 8, Sampling(1.0, seed=4, item="id"), 3)).isdisjoint(texts)


def test_hardly_any_warmth_is_greed(lm: Any) -> None:
    requests = [request(n) for n in range(4)]
    assert answers(lm, requests, 8, Sampling(1e-4, item="id")) == lm.generate_until(requests, disable_tqdm=True)


def test_tokens_are_drawn_by_their_probabilities() -> None:
    logits = torch.tensor([0.5, 0.2, 0.3]).log().expand(10_000, 3)
    numbers = torch.arange(10_000, dtype=torch.float64) / 10_000
    counts = draw(logits, numbers, Sampling(1.0)).bincount(minlength=3)
    assert counts.tolist() == pytest.approx([5000, 2000, 3000], abs=2)
    squared = draw(logits, numbers, Sampling(0.5)).bincount(minlength=3) / 10_000
    assert squared.tolist() == pytest.approx([0.25 / 0.38, 0.04 / 0.38, 0.09 / 0.38], abs=1e-3)
    some = draw(logits, numbers, Sampling(1.0, top_p=0.7)).bincount(minlength=3) / 10_000
    assert some.tolist() == pytest.approx([0.625, 0, 0.375], abs=1e-3)
    assert set(draw(logits, numbers, Sampling(1.0, top_p=0.01)).tolist()) == {0}
    never = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    assert draw(never, torch.zeros(1, dtype=torch.float64), Sampling(1.0)).tolist() == [1]


def test_a_cell_keeps_every_answer_with_its_number(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", writes=WRITTEN, chooses=CHOICE))
    store = evaluate(tiny, tmp_path / "run", ["writes"], limit=3, samples=2, temperature=1.0)
    result, samples = only_result(store), only_samples(store)
    assert [(s["item"], s["sample"]) for s in samples] == [(f"a{n}", k) for k in (0, 1) for n in range(3)]
    assert len({s["responses"][0][0] for s in samples}) == 6
    assert result["n_documents"] == 3
    assert result["cell"]["sampling"] == {"samples": 2, "temperature": 1.0, "top_p": 1.0}
    assert list(result["metrics"]) == ["exact_match"]


def test_greedy_cells_keep_their_identity_and_tasks_that_choose_are_never_sampled(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", writes=WRITTEN, chooses=CHOICE))
    infos = [find_task("writes"), find_task("chooses")]

    def names(**settings: Any) -> list[str]:
        return [cell.name for cell in make_cells(tiny, [Arm()], infos, Settings(**settings))]

    plain, warm = names(), names(samples=3, temperature=1)
    assert "sampling" not in make_cells(tiny, [Arm()], infos, Settings())[0].identity()
    assert warm[0] != plain[0]
    assert warm[1] == plain[1]
    assert names(samples=3, temperature=1.0) == warm
    assert len({names(samples=n, temperature=t)[0] for n in (1, 2) for t in (0.5, 1)}) == 4
    with pytest.raises(UsageError, match="None of the tasks is answered in writing"):
        plan_cells(tiny, [Arm()], ["chooses"], Settings(temperature=1.0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"samples": 0}, "samples must be"),
        ({"samples": 2.0}, "samples must be"),
        ({"temperature": -1.0}, "temperature must be"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p must be"),
        ({"samples": 2}, "Nothing is drawn without a temperature"),
        ({"top_p": 0.5}, "Nothing is drawn without a temperature"),
    ],
)
def test_settings_that_draw_nothing_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings(**settings)


def test_the_command_takes_samples_and_says_what_they_need(invoke: Callable[..., Result], tmp_path: Path) -> None:
    result = invoke("eval", "--tasks", "situations_open", "--samples", 2, "-o", tmp_path / "run")
    assert result.exit_code == 2
    assert "Give --temperature" in result.stderr


def test_an_experiments_file_takes_the_same_settings() -> None:
    from lapd.experiment.file import EvaluateConfig
    from lapd.files.settings import build

    config = build(EvaluateConfig, {"tasks": ["situations_open"], "samples": 4, "temperature": 1}, "x.yaml")
    assert config.settings() == Settings(samples=4, temperature=1.0)
    assert config.settings().sampling == {"samples": 4, "temperature": 1.0, "top_p": 1.0}


def test_an_items_answers_are_averaged_and_those_without_a_value_left_out() -> None:
    def sampled(doc: int, number: int, **metrics: float) -> dict[str, Any]:
        return {"doc_id": doc, "item": f"i{doc // 2}", "sample": number, "metrics": metrics}

    samples = [
        sampled(0, 0, m=1.0), sampled(0, 1, m=0.0), sampled(0, 2),
        sampled(1, 0, m=1.0), sampled(1, 1, m=1.0), sampled(1, 2, m=1.0),
        sampled(2, 0, m=1.0), sampled(3, 0), sampled(3, 1),  # of item i1 one document has no answer with a value
    ]  # fmt: skip
    assert whole_items(samples, "m") == {"i0": 0.75}


def test_what_ours_cannot_draw_is_drawn_as_hf_does(
    lm: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lm.model.generation_config, "repetition_penalty", 1.1)
    torch.manual_seed(1)
    texts = answers(lm, [request(0), request(1)], 8, number=2)
    assert len(set(texts)) == 4
    assert capsys.readouterr().err.count("is sampled as hf does") == 1


def test_a_sampled_cell_is_reproduced_in_the_same_words(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lapd.experiment.reproduce import reproduce

    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    register(monkeypatch, write_tasks(tmp_path / "tasks", writes=WRITTEN))
    store = evaluate(tiny, tmp_path / "run", ["writes"], limit=2, samples=2, temperature=1.0)
    (entry,) = store.finished()
    found, _ = reproduce(store.cell_folder(entry["cell"]))
    assert (found.documents, found.identical, found.differing) == (4, True, [])


def test_each_answer_has_its_own_verdict_and_an_item_their_mean(tmp_path: Path) -> None:
    from lapd.hookspecs import Verdict
    from lapd.judges.verdicts import verdict_record
    from lapd.record.verdicts import keep_verdicts, stored_verdicts

    class Strict:
        name, description = "strict", "a judge of tests"

        def judge(self, batch: Any) -> Any:
            raise AssertionError("nothing is judged here")

    samples = [
        {"doc_id": n, "item": f"i{n}", "sample": k, "doc": {"prompt": "?"}, "responses": [[f"{n} {k}"]], "metrics": {}}
        for k in (0, 1)
        for n in range(3)
    ]
    flags = [True, False, None, True, True, False]
    records = [verdict_record(Verdict(flag, "" if flag is not None else "none")) for flag in flags]
    keep_verdicts(tmp_path, Strict(), samples, records)
    _, verdicts = stored_verdicts(tmp_path / "verdicts-strict.jsonl", samples)
    assert [verdict.flagged for verdict in verdicts] == flags
    for sample, verdict in zip(samples, verdicts, strict=True):
        sample["metrics"] = {} if verdict.flagged is None else {"flagged": float(verdict.flagged)}
    assert whole_items(samples, "flagged") == {"i0": 1.0, "i1": 0.5, "i2": 0.0}


def test_a_server_is_sent_the_temperature_and_a_seed_for_each_answer() -> None:
    from lm_eval.api.instance import Instance

    from lapd.answering.endpoint_lm import EndpointLM
    from lapd.endpoints.endpoint import Endpoint

    lm = EndpointLM(Endpoint("m", "http://127.0.0.1:9/v1", None))
    asked = Instance("generate_until", {}, ('[{"role": "user", "content": "?"}]', {"until": [], "do_sample": False}), 0)
    assert (lm._question(0, asked, 1).temperature, lm._question(0, asked, 1).seed) == (0.0, None)
    lm.sampling = Sampling(0.7)
    first, second = (lm._question(number, asked, 1) for number in range(2))
    assert first.temperature == second.temperature == 0.7
    assert first.seed is not None and first.seed != second.seed
