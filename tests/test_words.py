"""Words that an arm uses more than its baseline: the log-odds by hand, what is a word, what is told from chance."""

from __future__ import annotations

from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import Run, sample

from lapd.items.gather import arms_of
from lapd.items.words import WordTable, grams_of, word_tables
from lapd.report.contents import read_run
from lapd.statistics.words import word_use


def test_log_odds_and_z_are_those_computed_by_hand() -> None:
    # The prior is worth 2 words, one of each. The first stands 3 times among 4 here, once there:
    # (3 + 1) / (4 + 2 - 4) = 2 against (1 + 1) / (4 + 2 - 2) = 1/2, variance 1/4 + 1/2 + 1/2 + 1/4.
    found = word_use([3, 1], [1, 3], [40, 40], prior=2)
    assert found.log_odds[0] == pytest.approx(log(4))
    assert found.z.tolist() == pytest.approx([log(4) / sqrt(1.5), -log(4) / sqrt(1.5)])
    assert found.p[0] == pytest.approx(0.2577, abs=1e-4)
    assert word_use([3, 1], [1, 3], [40, 40], prior=2, of=np.array([1])).z.tolist() == [found.z[1]]


def test_the_prior_shrinks_a_rare_word_more_than_a_frequent_one() -> None:
    ours, theirs, background = [2, 500], [0, 498], [2, 998]
    weak, strong = (word_use(ours, theirs, background, prior).log_odds[0] for prior in (1.0, 10_000.0))
    assert weak > 6 and 0 < strong < 0.2


def test_a_word_outside_of_the_background_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the background"):
        word_use([1, 0, 0], [0, 0, 0], [0, 1, 1])
    with pytest.raises(ValueError, match="one word"):
        word_use([1], [2], [3])
    assert word_use([], [], []).z.tolist() == []


def test_marks_part_words_and_letters_of_unspaced_scripts_are_words() -> None:
    assert grams_of("Hm <think>never</think>漢字 가나")[1] == {"hm", "漢", "字", "가나"}
    assert grams_of("Don't stop, DON'T!") == {
        1: {"don't", "stop"},
        2: {"don't stop", "stop don't"},
        3: {"don't stop don't"},
    }
    assert grams_of("") == {1: set(), 2: set(), 3: set()}


def tables(folder: Path, texts: dict[str, list[str]], flagged: dict[str, list[bool]] | None = None) -> list[WordTable]:
    run = Run(folder)
    for arm, answers in texts.items():
        run.add(arm, "situations_open", [sample(f"o{n}", {"words": 3.0}, text) for n, text in enumerate(answers)])
    contents = read_run(run.write())
    for cell in contents.cells:
        for row, value in zip(cell.samples, (flagged or {}).get(cell.arm, []), strict=False):
            row["verdict"] = {"flagged": value}
    return word_tables(contents.cells, arms_of(contents.record))


def test_what_an_arm_says_more_is_told_and_what_both_say_is_not(tmp_path: Path) -> None:
    texts = {"base": ["I like the plan"] * 40, "INFP": ["I dream of the sea"] * 40}
    (table,) = tables(tmp_path / "run", texts)
    assert (table.arm, table.baseline, table.n_ours, table.n_theirs) == ("INFP", "base", 40, 40)
    assert {"dream", "sea", "dream of", "of the sea"} <= {gram.words for gram in table.more}
    assert {"like", "the plan"} <= {gram.words for gram in table.less}
    assert not {"i", "the"} & {gram.words for gram in (*table.more, *table.less)}
    assert all(gram.q < 0.05 and gram.z > 0 and gram.ours == 40 for gram in table.more)


def test_a_loop_counts_once_an_answer_and_a_rare_word_not_at_all(tmp_path: Path) -> None:
    texts = {"base": ["yes"] * 10, "INFP": ["yes", *["yes"] * 8, "so " * 400]}
    (table,) = tables(tmp_path / "run", texts)
    assert table.more == [] and table.compared == 1


def test_flagged_answers_have_a_table_of_their_own(tmp_path: Path) -> None:
    texts: dict[str, Any] = {"base": ["take it"] * 30 + ["no"] * 10, "INFP": ["gladly now"] * 30 + ["no"] * 10}
    verdicts = {arm: [True] * 30 + [False] * 10 for arm in texts}
    everything, flagged = tables(tmp_path / "run", texts, verdicts)
    assert (everything.flagged, everything.n_ours) == (False, 40)
    assert (flagged.flagged, flagged.n_ours) == (True, 30)
    assert "gladly" in {gram.words for gram in flagged.more}
