"""Everything that the plugin registers keeps LAPD's contract, and works."""

from pathlib import Path

import pytest
from lapd_plugin_template.items import TASK, items

from lapd import compare_run, get_persona
from lapd.options import configured
from lapd.testing import assert_generator, assert_judge, assert_tasks, make_tiny_adapter, make_tiny_base, make_tiny_run

NAME = "plugin_template"


def test_the_generator_keeps_the_contract() -> None:
    (pair,) = assert_generator(configured("generators", NAME), "INFJ", pairs=1)
    assert pair.chosen in {item["J"] for item in items("train")}
    assert not list(configured("generators", NAME).generate(get_persona("I"), pairs=None, seed=0))


def test_the_judge_keeps_the_contract() -> None:
    assert_judge(configured("judges", NAME))
    said = [("?", "The tide turns at nine."), ("?", "A tidy harbour."), ("?", "")]
    verdicts = assert_judge(configured("judges", NAME), said, options={"words": ["tide"]})
    assert [verdict.flagged for verdict in verdicts] == [True, False, None]


def test_the_benchmark_keeps_the_contract() -> None:
    assert assert_tasks(TASK) == [NAME]


@pytest.mark.parametrize("side", ["J", "P"])
def test_the_poles_are_equally_long(side: str) -> None:
    words = [len(item[side].split()) for split in ("train", "heldout") for item in items(split)]
    assert sum(words) / len(words) == pytest.approx(14, rel=0.05)


def test_the_benchmark_runs_and_is_compared(tmp_path: Path) -> None:
    (row,) = [row for row in compare_run(make_tiny_run(tmp_path, [NAME], "J")) if row.metric == "log_odds"]
    assert (row.task, row.n) == (NAME, 4)


def test_an_adapter_is_trained_on_the_generators_pairs(tmp_path: Path) -> None:
    adapter = make_tiny_adapter(make_tiny_base(tmp_path / "base"), tmp_path / "P", "P", generator=NAME)
    assert adapter.card is not None
    assert adapter.card["data"]["sources"]["pairs_by_axis"] == {"J/P": 4}
