"""A run for other programs: DataFrames, CSV and Parquet, the files of lm-eval, tables of a paper."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, listing
from odd_tasks import CHOICE, FILTERS, WRITTEN, evaluate, register, write_tasks

import lapd
from lapd.answering.engine import Engine
from lapd.errors import LapdError, StoreError, UsageError
from lapd.export import frames
from lapd.export.files import export
from lapd.export.frames import LoadedRun
from lapd.export.tables import latex, markdown
from lapd.files.whole import read_json, read_jsonl, write_json
from lapd.models.base import resolve_base
from lapd.record.store import Store
from lapd.testing.tiny import make_tiny_base

RUN = ROOT / "tests" / "fixtures" / "before-rooms" / "run"


@pytest.fixture(scope="module")
def loaded() -> LoadedRun:
    return lapd.load_run(RUN)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, to be changed."""
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def test_a_run_is_loaded_as_one_row_a_document(loaded: LoadedRun) -> None:
    samples = loaded.samples
    store = Store(RUN)
    kept = {e["cell"]: store.samples(e["cell"]) for e in store.finished()}
    assert len(samples) == sum(map(len, kept.values()))
    row = samples[(samples.arm == "INFP") & (samples.task == "situations") & (samples.doc_id == 1)].iloc[0]
    of_record = kept[row.cell][1]
    assert (row["doc"], row["item"], row["responses"]) == (of_record["doc"], of_record["item"], of_record["responses"])
    assert row["log_odds_SN"] == of_record["metrics"]["log_odds_SN"]
    assert (row["adapter"], row["strength"], row["persona"], row["seed"]) == ("INFP", 1.0, "INFP", 0)
    assert pd.isna(row["log_odds_EI"])
    assert pd.isna(row["response"])
    written = samples[samples.task == "situations_open"]
    assert all(isinstance(text, str) for text in written.response)
    assert written.words.notna().all()
    assert set(samples[samples.arm == "shuffled-INFP"].control) == {"shuffled"}
    assert samples[samples.arm == "base"].adapter.isna().all()


def test_a_metric_that_is_called_as_a_column_stands_apart(run: Path) -> None:
    store = Store(run)
    cell = store.finished()[0]["cell"]
    path = store.cell_folder(cell) / "samples.jsonl"
    path.write_text("".join(json.dumps({**s, "metrics": {"seed": 2.5}}) + "\n" for s in store.samples(cell)))
    samples = lapd.load_run(run).samples
    of_cell = samples[samples.cell == cell]
    assert set(of_cell["metrics.seed"]) == {2.5}
    assert set(of_cell["seed"]) == {0}


def test_the_comparisons_are_those_of_compare_with_their_fields(loaded: LoadedRun) -> None:
    comparisons, rows = loaded.comparisons, lapd.compare_run(RUN)
    assert list(comparisons.metric) == [row.metric for row in rows]
    assert list(comparisons.difference) == [row.difference for row in rows]
    assert {"verdict", "p", "family", "detectable", "scope"} <= set(comparisons.columns)


def test_what_is_no_run_or_lacks_pandas_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="is no run folder"):
        lapd.load_run(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(LapdError, match="pip install pandas"):
        frames.pandas()


@pytest.mark.parametrize(("kind", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet)])
def test_frames_come_back_from_their_files(
    tmp_path: Path, loaded: LoadedRun, kind: str, read: Callable[[Path], Any]
) -> None:
    done = export(RUN, tmp_path / "out", kind)
    assert done.files == [f"comparisons.{kind}", f"samples.{kind}"]
    assert done.notes == []
    samples, kept = read(tmp_path / "out" / f"samples.{kind}"), loaded.samples
    assert list(samples.columns) == list(kept.columns)
    assert [json.loads(text) for text in samples["doc"]] == list(kept["doc"])
    assert [json.loads(text) for text in samples["responses"]] == list(kept["responses"])
    pd.testing.assert_series_equal(samples["log_odds_EI"], kept["log_odds_EI"])
    assert list(samples.response.dropna()) == list(kept.response.dropna())
    comparisons = read(tmp_path / "out" / f"comparisons.{kind}")
    pd.testing.assert_series_equal(comparisons["p"], loaded.comparisons["p"])


def test_documents_are_as_lm_eval_itself_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.loggers.evaluation_tracker import EvaluationTracker

    outcomes: dict[str, Any] = {}
    once = Engine._evaluate_once

    def keeping(self: Engine, cell: Any, *rest: Any) -> dict[str, Any]:
        outcomes[cell.task.name] = once(self, cell, *rest)
        return outcomes[cell.task.name]

    monkeypatch.setattr(Engine, "_evaluate_once", keeping)
    folder = write_tasks(tmp_path / "tasks", plain=WRITTEN, twofold=WRITTEN + FILTERS, chosen=CHOICE)
    register(monkeypatch, folder)
    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    store = evaluate(base, tmp_path / "run", ["plain", "twofold", "chosen"], limit=3)
    export(store.folder, tmp_path / "out", "lm-eval")
    (results_file,) = (tmp_path / "out" / "base").glob("results_*.json")
    results = read_json(results_file)
    tracker = EvaluationTracker(output_path=str(tmp_path / "theirs"))
    tracker.general_config_tracker.model_name_sanitized, tracker.date_id = "base", "now"
    for task, outcome in outcomes.items():
        tracker.save_results_samples(task, outcome["samples"][task])
        (ours,) = (tmp_path / "out" / "base").glob(f"samples_{task}_2*.jsonl")
        expected = [row for _, row in read_jsonl(tmp_path / "theirs" / "base" / f"samples_{task}_now.jsonl")]
        assert [row for _, row in read_jsonl(ours)] == expected
        for field in ("configs", "n-shot", "higher_is_better", "n-samples", "versions"):
            assert results[field][task] == json.loads(json.dumps(outcome[field][task])), field
        numbers = {k: v for k, v in outcome["results"][task].items() if not k.partition(",")[0].endswith("_stderr")}
        assert {k: results["results"][task][k] for k in numbers} == numbers


def test_lm_eval_prints_a_run_as_its_own_table(tmp_path: Path) -> None:
    from lm_eval.utils import get_file_task_name, make_table

    export(RUN, tmp_path / "out", "lm-eval")
    assert listing(tmp_path / "out") == ["INFP", "base", "export.json", "shuffled-INFP"]
    (path,) = (tmp_path / "out" / "INFP").glob("results_*.json")
    results = read_json(path)
    printed = {
        cells[5].strip(): cells[7].strip() for line in make_table(results).splitlines() if (cells := line.split("|"))
    }
    for entry in Store(RUN).finished():
        if entry["arm"] == "INFP":
            for metric, value in Store(RUN).result(entry["cell"])["metrics"].items():
                assert printed[metric] == f"{value:.4f}"
    # A mean's standard error, by hand: of 0 and 100 it is 50.
    assert results["results"]["situations"]["prefer_TF_stderr,none"] == pytest.approx(50)
    tasks = {get_file_task_name(path.name) for path in (tmp_path / "out" / "INFP").glob("samples_*.jsonl")}
    assert tasks == set(results["results"])
    # A run of before there was a record of these has none.
    assert results["configs"] == results["n-shot"] == results["task_hashes"] == {}
    assert results["n-samples"]["situations"] == {"original": None, "effective": 8}


def test_seeds_and_groups_of_tasks_are_told_apart(run: Path, tmp_path: Path) -> None:
    from lm_eval.utils import make_table

    record = read_json(run / "run.json")
    record["cells"] |= {key.replace("seed 0", "seed 1"): {**entry, "seed": 1} for key, entry in record["cells"].items()}
    metric = {"metric": "acquiescence", "filters": None, "weighted": True}
    record["groups"] = {"questionnaires": {"tasks": ["mbti"], "metrics": [metric]}}
    write_json(run / "run.json", record)
    export(run, tmp_path / "out", "lm-eval")
    first, second = sorted((tmp_path / "out" / "INFP").glob("results_*.json"))
    results = [read_json(path) for path in (first, second)]
    assert [each["config"]["fewshot_seed"] for each in results] == [0, 1]
    (group,) = results[1]["groups"].values()
    assert group == results[1]["results"]["questionnaires"]
    assert group["acquiescence,none"] == results[1]["results"]["mbti"]["acquiescence,none"]
    assert "questionnaires" in make_table(results[1], "groups")


def test_an_unfinished_run_is_exported_as_far_as_it_is(run: Path, tmp_path: Path, invoke: Callable[..., Any]) -> None:
    store = Store(run)
    waiting = [e for e in store.finished() if e["arm"] != "base" or e["task"] == "mbti"]
    for entry in waiting:
        (store.cell_folder(entry["cell"]) / "result.json").unlink()
    result = invoke("export", run, "--format", "csv", "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (0, f"1 file in {tmp_path / 'out'}\n")
    left_out, no_comparisons = result.stderr.splitlines()
    assert left_out == f"Not finished, and left out: {len(waiting)} of 12 cells."
    assert no_comparisons.startswith("No comparisons: ")
    assert set(pd.read_csv(tmp_path / "out" / "samples.csv").task) == {"situations", "situations_open", "overrefusal"}


def test_an_earlier_export_is_replaced_and_nothing_else(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(run, out, "lm-eval")
    store = Store(run)
    for entry in store.finished():
        if entry["task"] == "mbti":
            (store.cell_folder(entry["cell"]) / "result.json").unlink()
    export(run, out, "lm-eval")
    assert not list(out.glob("*/samples_mbti_*"))
    assert len(list(out.glob("*/samples_*"))) == 9
    with pytest.raises(UsageError, match=r"holds something else .*--force"):
        export(run, out, "lm-eval", persona="INFP")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"something else \(notes.txt\)"):
        export(run, out, "lm-eval")
    export(run, out, "lm-eval", persona="INFP", force=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert read_json(out / "export.json")["persona"] == "INFP"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nowhere", "--format", "csv", "-o", "out"), 1, "is no run folder"),
        ((RUN, "--format", "cvs", "-o", "out"), 2, "Did you mean csv?"),
        ((RUN, "--format", "csv", "-o", RUN / "run.json"), 2, "is a file, not a folder"),
    ],
)
def test_a_wrong_call_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    invoke: Callable[..., Any],
    arguments: tuple[Any, ...],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("export", *arguments)
    assert result.exit_code == code
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_tables_of_a_paper_have_the_headline_rows_with_their_text_escaped() -> None:
    rows = [row for row in lapd.compare_run(RUN) if row.headline and row.arm == "INFP" and row.baseline == "base"]
    rows[0].task = "50%_of|a\\b"
    tex, md = latex(rows, ["A & B"]), markdown(rows, ["A & B"])
    assert r"50\%\_of\textbar{}a\textbackslash{}b & " in tex
    assert r"| 50%\_of\|a\\b |" in md
    assert r"A \& B" in tex
    assert tex.count(r"\begin{table}") == tex.count(r"\end{table}") == tex.count(r"\toprule") == 1
    body = tex.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    lines = [line for line in body if "multicolumn" not in line]
    assert len(lines) == len(rows)
    assert all(line.count(" & ") == 9 and line.endswith(r" \\") for line in lines)
    assert "\u2212" not in tex
    lines = [line for line in md.splitlines() if line.startswith("| ")]
    assert len(lines) == len(body) + 1
    assert all(line.replace(r"\|", "").count("|") == 11 for line in lines)
