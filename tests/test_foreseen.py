"""`lapd run --plan`: what the plan at hand would let one see, and what one more seed would."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from made_up import BASE, adapter, known, make_run
from scipy.stats import binom

from lapd.compare.comparisons import compare
from lapd.compare.measured import read_measured
from lapd.evaluate.plan import make_arms, make_cells
from lapd.planning.finished import spreads_of_finished
from lapd.planning.foreseen import THIS_RUN, design_of, typical, would_show
from lapd.planning.variances import spreads
from lapd.record.cells import Settings
from lapd.record.store import Store, arm_record
from lapd.statistics.power import detectable, power_of_share


def write(folder: Path, base: Path, **changes: Any) -> Path:
    content = {
        "name": "planned",
        "base": str(base),
        "personas": ["INFP", "ESTJ"],
        "controls": {"shuffled": ["INFP"]},
        "seeds": [0, 1],
        "out": str(folder / "run"),
        "train": {"pairs": 8, "trainer": "trl"},
        "evaluate": {"tasks": ["situations", "knowledge_mini", "situations_open"], "arms": ["base", "adapter"]},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(content | changes))
    return folder / "experiment.yaml"


def shown(result: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)["would_show"]
    return {(row["task"], row["scope"], row["against"]): row for row in rows if row["condition"] == "adapter"}


def test_a_plan_says_what_it_would_show_and_what_one_more_seed_would(
    tmp_path: Path, base_folder: Path, invoke: Callable[..., Any]
) -> None:
    path = write(tmp_path, base_folder)
    rows = shown(invoke("run", path, "--plan", "--json"))
    assert set(rows) == {(t, "training", a) for t in ("situations", "knowledge_mini") for a in ("base", "controls")}
    source, spread = typical()
    known_of = next(one for one in spread if (one.task, one.condition) == ("situations", "adapter"))
    row = rows["situations", "training", "controls"]
    # Two personas on two tasks, each against its base and against the controls of all.
    assert (row["seeds"], row["controls"], row["family_size"], row["source"]) == (2, 2, 8, source)
    assert known_of.items_sd and known_of.trainings_sd
    sds = known_of.items_sd, known_of.trainings_sd
    more = {"rest_sd": known_of.rest_sd}
    assert row["detectable_alone"] == pytest.approx(detectable(100, 2, *sds, 0.05, controls=2, **more))  # type: ignore[arg-type]
    assert row["detectable"] == pytest.approx(detectable(100, 2, *sds, 0.05 / 8, controls=2, **more))  # type: ignore[arg-type]
    assert row["another_seed"] == pytest.approx(detectable(100, 3, *sds, 0.05 / 8, controls=3, **more))  # type: ignore[arg-type]
    text = invoke("run", path, "--plan").stdout
    assert f"How far values vary is taken from {source}: situations, knowledge_mini." in text
    assert "What would show is not known for situations_open: " in text
    assert "with one more seed" in text


def test_one_seed_shows_nothing_of_trainings_and_a_limit_counts(
    tmp_path: Path, base_folder: Path, invoke: Callable[..., Any]
) -> None:
    tasks = {"tasks": ["situations"], "arms": ["base", "base+prompt", "adapter"], "limit": 40}
    path = write(tmp_path, base_folder, seeds=None, controls=["shuffled"], personas=["INFP"], evaluate=tasks)
    rows = shown(invoke("run", path, "--plan", "--json"))
    assert {row["items"] for row in rows.values()} == {40}
    base, controls = rows["situations", "training", "base"], rows["situations", "training", "controls"]
    assert (base["detectable"], controls["detectable"], controls["controls"]) == (None, None, 0)
    assert base["another_seed"] > controls["another_seed"] > rows["situations", "adapter", "base"]["detectable"]
    assert rows["situations", "adapter", "base"]["another_seed"] is None


def value(arm: str, task: str, item: int) -> dict[str, float]:
    draw = np.random.default_rng([item, sum(map(ord, arm))])
    if task == "knowledge_mini":
        return {"acc": float(draw.random() < 0.6), "acc_norm": 0.5}
    axis = ("EI", "SN", "TF", "JP")[item % 4]
    return {f"log_odds_{axis}": 0.0 if arm == "base" else draw.normal(1, 2), f"prefer_{axis}": 100.0}


def trained(*names: str) -> list[Any]:
    found = []
    for name in names:
        kind, _, seed = name.partition(".")
        control = ("shuffled" if seed in ("", "0") else f"shuffled-{seed}") if kind.startswith("shuffled") else None
        persona = kind.removeprefix("shuffled-")
        found.append(adapter(persona, name=name, control=control, seed=int(seed or 0)))
    return found


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (["INFP.0", "INFP.1", "ESTJ.0", "ESTJ.1", "shuffled-INFP.0", "shuffled-INFP.1"], ["base", "adapter"]),
        (["INFP", "shuffled-INFP"], ["base", "base+prompt", "adapter"]),
        (["INFP.0", "ESTJ.0"], ["base", "base+prompt", "adapter", "adapter+prompt"]),
    ],
    ids=["two seeds and controls", "one control", "no control"],
)
def test_a_plans_family_is_as_large_as_that_of_the_finished_run(
    tmp_path: Path, names: Sequence[str], kinds: Sequence[str]
) -> None:
    make_run(tmp_path, trained(*names), {"situations": range(24), "knowledge_mini": range(24)}, value, kinds)
    (size,) = {row.family_size for row in compare(tmp_path).rows if row.family == "confirmatory"}
    assert 2 * design_of(Store(tmp_path).run()["arms"]).comparisons == size


def test_a_runs_own_cells_are_gone_by_where_there_are_some(tmp_path: Path) -> None:
    adapters = trained("INFP.0", "INFP.1", "shuffled-INFP.0", "shuffled-INFP.1")
    items = {"situations": range(40), "knowledge_mini": range(30)}
    make_run(tmp_path, adapters, items, value, ["base", "base+prompt", "adapter"])
    store, infos = Store(tmp_path), {task: known()[task] for task in items}
    cells = {entry["cell"] for entry in store.finished()}
    quick = {(one.task, one.condition): one for one in spreads_of_finished(store, cells, infos)}
    whole = {(one.task, one.condition): one for one in spreads(read_measured(tmp_path))}
    assert quick == whole and len(whole) == 4
    assert spreads_of_finished(store, set(), infos) == []
    assert spreads_of_finished(Store(tmp_path / "none"), cells, infos) == []

    arms = make_arms(adapters, ["base", "adapter"])
    planned = make_cells(BASE, arms, [known()["situations"], known()["mbti"]], Settings())
    records = {arm.name: arm_record(arm) for arm in arms}
    rows, unknown = would_show(store, planned, records, records)
    assert {row.task: row.source for row in rows} == {"situations": THIS_RUN, "mbti": typical()[0]}
    assert {row.items for row in rows if row.task == "situations"} == {40}
    assert unknown == []


def test_the_binomial_of_the_power_of_shares_is_scipys() -> None:
    for n, rate, difference, alpha in [
        (12, 0.5, 0.3, 0.05),
        (80, 0.1, 0.05, 0.01),
        (171, 1.0, 0.2, 1e-4),
        (3, 0.2, 0, 1),
    ]:
        changed = np.arange(n + 1)
        critical = binom.ppf(alpha / 2, changed, 0.5)
        critical -= binom.cdf(critical, changed, 0.5) >= alpha / 2
        gain = (rate + difference) / (2 * rate)
        losses, gains = binom.cdf(critical, changed, 1 - gain), binom.cdf(critical, changed, gain)
        expected = binom.pmf(changed, n, rate) @ np.minimum(losses + gains, 1)
        assert power_of_share(n, rate, difference, alpha) == pytest.approx(expected, abs=1e-12)
