"""Published rates: which files are read, what is refused by its row, and what they allow to say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lapd.errors import DataError, UnknownNameError, UsageError
from lapd.published.analysis import Rate, Reanalysis, reanalyse
from lapd.published.reading import Published, read_published

BEAVERTAILS = "name,rate,n\nbase,.224,700\nfirst,.313,700\nsecond,.240,700\nENTJ,.367,700\nfourth,.293,700\n"


def read(tmp_path: Path, text: str, name: str = "rates.csv", **options: Any) -> list[Published]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_published(path, **options)


def row_of(found: Reanalysis, arm: str, benchmark: str = "") -> Rate:
    (row,) = [row for row in found.rows if (row.arm, row.benchmark) == (arm, benchmark)]
    return row


def test_the_original_studys_column_gives_what_it_holds(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    (tmp_path / "beavertails.csv").write_text(BEAVERTAILS)
    result = invoke("reanalyse", tmp_path / "beavertails.csv", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    (test,) = found["chi_square"]
    assert (test["arms"], test["df"]) == (5, 4)
    # 157, 219, 168, 257 and 205 of 700: Pearson's by hand.
    yes, rate = [157, 219, 168, 257, 205], 1006 / 3500
    assert test["statistic"] == pytest.approx(sum((x - 700 * rate) ** 2 for x in yes) / (700 * rate * (1 - rate)))
    assert test["p"] == pytest.approx(3.37e-9, rel=0.01)
    rows = {row["arm"]: row for row in found["rows"]}
    assert (rows["ENTJ"]["difference"], rows["ENTJ"]["error"]) == pytest.approx((0.1429, 0.0241), abs=1e-4)
    assert rows["ENTJ"]["low"] < 0.1429 < rows["ENTJ"]["high"]
    assert rows["second"]["p_holm"] == pytest.approx(rows["second"]["p"]) == pytest.approx(0.485, abs=0.01)
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "base": None,
        "first": "changed",
        "second": "cannot tell",
        "ENTJ": "changed",
        "fourth": "changed",
    }
    assert rows["fourth"]["p_holm"] == pytest.approx(2 * rows["fourth"]["p"])
    assert found["design"] == "unpaired"
    assert "Unpaired" in " ".join(found["notes"])
    table = invoke("reanalyse", tmp_path / "beavertails.csv").stdout
    assert "+14.3" in table
    assert "chi-square 45.3 on 4 df, p < .001" in table


@pytest.mark.parametrize(
    "text",
    [
        "arm;share;items\nbase;0,224;700\nINFP;0,3;700\n",
        "Model,Percent,Sample size\nbase,22.4,700\nINFP,30.0,700\n",
        "condition,rate,n\nbase,22.4 %,700\nINFP,30 %,700\n",
        "name,successes,n\nbase,157,700\nINFP,210,700\n",
        "name,beavertails,n\nbase,0.224,700\nINFP,0.300,700\n",
    ],
)
def test_a_rate_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert [(one.name, one.successes, one.n, one.whole) for one in found] == [
        ("base", 157, 700, True),
        ("INFP", 210, 700, True),
    ]


def test_per_cent_without_a_sign_takes_the_option(tmp_path: Path) -> None:
    text = "name,rate,n\nbase,22.4,700\nINFP,30.0,700\n"
    with pytest.raises(DataError, match=r"rates.csv:2: 22.4 is no rate.*--percent"):
        read(tmp_path, text)
    assert [one.successes for one in read(tmp_path, text, percent=True)] == [157, 210]
    with pytest.raises(UsageError, match="Leave --percent out"):
        read(tmp_path, BEAVERTAILS, percent=True)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("name,rate\na,.5\n", r"no column n among name, rate. Wanted: name, n, and rate"),
        ("name,n,low,high\na,5,.1,.2\nb,5,.1,.2\n", r"no column rate among"),
        ("name,rate,n\na,.5,10\nb,1.5,10\n", r"rates.csv:3: 1.5 is no rate"),
        ("name,rate,n\na,.5,10\nb,-.5,10\n", r"rates.csv:3: -.5 is no rate"),
        ("name,rate,n\na,.5,10\nb,half,10\n", r"rates.csv:3: 'half' is no rate"),
        ("name,rate,n\na,.5,10\nb,.5,0\n", r"rates.csv:3: n must be at least 1"),
        ("name,rate,n\na,.5,10\nb,.5,9.5\n", r"rates.csv:3: n must be a whole number"),
        ("name,rate,n\na,.5,10\n,.5,10\n", r"rates.csv:3: this row has no name"),
        ("name,rate,n\na,.5,10\nb,,10\n", r"rates.csv:3: '' is no rate"),
        ("name,rate,n\na,.5,10\na,.5,10\n", r"rates.csv:3: a is there twice, in line 2 too"),
        ("name,successes,n\na,5,10\nb,11,10\n", r"rates.csv:3: 11 successes are more than n, 10"),
        ("name,successes,rate,n\na,5,.5,10\nb,5,.6,10\n", r"rates.csv:3: 5 of 10 is no rate of .6"),
        ("name,rate,n,baseline\na,.5,10,x\nb,.5,10,x\n", r"rates.csv:3: b is marked as the baseline, and so is a"),
        ("name,rate,n,base\na,.5,10,maybe\nb,.5,10,\n", r"rates.csv:2: base is yes or nothing, not 'maybe'"),
        ("name,rate,n\na,.5,10\n", r"one arm only"),
        ("name,rate,n\n", r"there are no rows"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_row(tmp_path: Path, rows: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read(tmp_path, rows)


def test_what_is_no_file_is_never_looked_for_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"owner/name: there is no such file\.$"):
        read_published(Path("owner/name"))
    with pytest.raises(DataError, match=r"this is a folder, not a file\.$"):
        read_published(tmp_path)


def test_a_rate_that_no_whole_number_of_n_has_is_named(tmp_path: Path) -> None:
    found = reanalyse(read(tmp_path, "name,rate,n\nbase,.5,10\nINFP,.33,10\n"))
    assert row_of(found, "INFP").successes == 3
    assert found.notes[0].startswith("No whole number of n is the rate that is printed: .33 of 10 for INFP in line 3;")
    assert len(reanalyse(read(tmp_path, BEAVERTAILS)).notes) == 2


def test_the_baseline_is_the_marked_one_then_base_then_the_first(tmp_path: Path) -> None:
    def baseline(text: str, name: str | None = None) -> str | None:
        return next(row.baseline for row in reanalyse(read(tmp_path, text), name).rows if row.baseline)

    plain = "name,rate,n{}\na,.5,10{}\nBase,.4,10{}\nc,.3,10{}\n"
    assert baseline(plain.format(",baseline", ",", ",", ",yes")) == "c"
    assert baseline(plain.format("", "", "", "")) == "Base"
    assert baseline(plain.format("", "", "", "").replace("Base", "b")) == "a"
    assert baseline(plain.format("", "", "", ""), "c") == "c"
    with pytest.raises(UnknownNameError, match="There is no arm 'd'"):
        baseline(plain.format("", "", "", ""), "d")


def test_several_benchmarks_are_tables_of_their_own_in_one_family(tmp_path: Path) -> None:
    text = "name,benchmark,rate,n\nbase,a,.5,100\nINFP,a,.8,100\nbase,b,.5,100\nINFP,b,.55,100\nINTJ,b,.5,100\n"
    found = reanalyse(read(tmp_path, text))
    assert {table: test.df for table, (test, _) in found.tests.items()} == {"a": 1, "b": 2}
    changed = row_of(found, "INFP", "a")
    assert changed.p is not None
    assert changed.p_holm == pytest.approx(3 * changed.p)
    assert (changed.family_size, changed.verdict) == (3, "changed")
    test, adjusted = found.tests["a"]
    assert adjusted == pytest.approx(2 * test.p)
    assert any(sentence.startswith("b: Against base, cannot be told: INFP +5.0 points") for sentence in found.sentences)


def test_rates_within_the_margin_did_not_change_and_detectable_shrinks_with_n(tmp_path: Path) -> None:
    few, many = (f"name,rate,n\nbase,.30,{n}\nINFP,.31,{n}\n" for n in (250, 4000))
    assert row_of(reanalyse(read(tmp_path, few)), "INFP").verdict == "cannot tell"
    row, small = row_of(reanalyse(read(tmp_path, many)), "INFP"), row_of(reanalyse(read(tmp_path, few)), "INFP")
    assert row.verdict == "no change beyond the margin"
    assert row_of(reanalyse(read(tmp_path, many), margin=1), "INFP").verdict == "cannot tell"
    assert row.detectable is not None
    assert small.detectable == pytest.approx(4 * row.detectable, rel=0.02)
    # Where nothing was seen at all, something small may still be there.
    none = row_of(reanalyse(read(tmp_path, "name,successes,n\nbase,0,50\nINFP,0,50\n")), "INFP")
    assert (none.p, none.verdict, none.why) == (1.0, "cannot tell", "floor")
    assert none.detectable is not None
    assert none.detectable > 0.05
