"""`lapd data`: what it prints, what it writes, and how it exits."""

import json
from pathlib import Path

import pytest
from conftest import ROOT, SHARED, listing

from lapd.files.whole import write_json, write_jsonl

REAL = SHARED / "benchmarks" / "persona_pairs" / "energy_introversion_extraversion.jsonl"
FLAWED = [
    {"q": "How was it?", "good": "Quiet.", "bad": "Loud."},
    {"q": "how was  it? ", "good": "Calm, really.", "bad": "Wild, really."},
    {"q": "And then?", "good": "Home.", "bad": "Home."},
    {"q": "Why?", "good": " ", "bad": "Because."},
]
NAMES = ("--prompt", "q", "--chosen", "good", "--rejected", "bad")


@pytest.fixture
def flawed(tmp_path):
    write_jsonl(tmp_path / "flawed.jsonl", FLAWED)
    return tmp_path / "flawed.jsonl"


def test_the_shipped_corpus_is_checked_whole(invoke):
    result = invoke("data", "check", ROOT / "data" / "contrast", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["rows"], found["ok"], found["duplicate_prompts"], found["identical_pairs"]) == (600, True, 0, 0)
    assert {check["lang"] for check in found["checks"]} == {"en", "ko"}
    bag = next(check for check in found["checks"] if check["name"] == "bag of words")
    assert bag["ok"] is True
    assert bag["threshold"] == "at least 0.75"
    assert bag["by_axis"].keys() == {"E/I", "S/N", "T/F", "J/P"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_the_faults_of_a_published_set_are_counted(invoke):
    result = invoke("data", "check", REAL, "--chosen", "introversion", "--rejected", "extraversion", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["duplicate_prompts"], found["identical_pairs"]) == (212, 24)


def test_a_flawed_file_fails_with_its_rows_named(invoke, flawed):
    result = invoke("data", "check", flawed, *NAMES)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["check", "value", "wanted", "result", "note"]
    assert [line.split()[-1] for line in lines if line.startswith("duplicate prompts  ")] == ["FAIL"]
    assert "duplicate prompts: line 2: the prompt of line 1" in lines
    assert "identical pairs: line 3: chosen and rejected are identical" in lines
    assert "empty fields: line 4: chosen is empty" in lines
    assert any(line.startswith("bag of words") and "n/a" in line for line in lines)


def test_many_faults_are_cut_short_in_the_table_only(invoke, tmp_path):
    write_json(tmp_path / "p.json", [{"prompt": "same", "chosen": f"a{n}", "rejected": f"b{n}"} for n in range(9)])
    shown = invoke("data", "check", tmp_path / "p.json").stdout
    assert shown.count("duplicate prompts: line") == 5
    assert "duplicate prompts: and 3 more" in shown
    assert json.loads(invoke("data", "check", tmp_path / "p.json", "--json").stdout)["duplicate_prompts"] == 8


@pytest.mark.parametrize("verb", ["check", "stats"])
def test_a_form_that_is_not_recognised_exits_1_with_the_options(invoke, flawed, verb):
    result = invoke("data", verb, flawed)
    assert result.exit_code == 1
    assert "in the fields q, good, bad. Name them:" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_field_that_there_is_not_exits_2(invoke, flawed):
    result = invoke("data", "check", flawed, "--prompt", "x", "--chosen", "good", "--rejected", "bad")
    assert (result.exit_code, "Found: q, good, bad." in result.stderr) == (2, True)


def test_fix_writes_the_rest_and_the_list_of_what_it_dropped(invoke, flawed, tmp_path):
    result = invoke("data", "fix", flawed, *NAMES, "-o", tmp_path / "out" / "fixed.jsonl", "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["pairs"] == 1
    assert made["dropped"] == {"repeated prompt": 1, "identical chosen and rejected": 1, "empty chosen": 1}
    assert listing(tmp_path / "out") == ["fixed.dropped.jsonl", "fixed.jsonl"]
    text = invoke("data", "fix", flawed, *NAMES, "-o", tmp_path / "again.jsonl").stdout
    assert "1 pairs in" in text
    assert "3 rows dropped (1 repeated prompt, 1 identical chosen and rejected, 1 empty chosen)" in text


def test_fix_never_overwrites_its_input(invoke, flawed, tmp_path):
    before = flawed.read_bytes()
    link = tmp_path / "link.jsonl"
    link.symlink_to(flawed)
    flawed.with_name("x.dropped.jsonl").write_bytes(before)
    for source, out in ((flawed, flawed), (flawed, link), (tmp_path / "x.dropped.jsonl", tmp_path / "x.jsonl")):
        result = invoke("data", "fix", source, *NAMES, "-o", out)
        assert (result.exit_code, "is the input, which is never overwritten" in result.stderr) == (2, True)
    assert invoke("data", "fix", flawed, *NAMES, "-o", tmp_path).exit_code == 2
    assert flawed.read_bytes() == before


def test_fix_refuses_to_write_an_empty_file(invoke, flawed, tmp_path):
    write_jsonl(flawed, FLAWED[2:])
    result = invoke("data", "fix", flawed, *NAMES, "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert "no pair would be left (1 identical chosen and rejected, 1 empty chosen)" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_stats_counts_and_draws(invoke, tmp_path):
    result = invoke("data", "stats", ROOT / "data" / "contrast", "-o", tmp_path / "pictures", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["counts"]["lang"] == {"en": 500, "ko": 100}
    assert found["counts"]["axis"] == dict.fromkeys(["E/I", "S/N", "T/F", "J/P"], 150)
    assert found["words"]["en"]["E"]["p0"] >= 25
    assert listing(tmp_path / "pictures") == ["axes.png", "lengths.png"]
    for picture in found["pictures"]:
        assert Path(picture).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_stats_of_a_pairs_file_without_axes(invoke, flawed, tmp_path):
    result = invoke("data", "stats", flawed, *NAMES, "-o", tmp_path / "pictures")
    assert result.exit_code == 0, result.output
    assert listing(tmp_path / "pictures") == ["lengths.png"]
    assert "chosen" in result.stdout
    assert "rejected" in result.stdout


def test_a_questionnaire_is_recognised_and_an_unbalanced_key_is_a_warning(invoke, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,axis,key\nI like crowds.,E/I,E\nI like parties.,E/I,E\n")
    result = invoke("data", "check", path)
    assert result.exit_code == 0
    assert "Warning: The key is not balanced (2 for E, 0 for I): 'agree' everywhere gives E" in result.stdout
    found = json.loads(invoke("data", "check", path, "--json").stdout)
    assert (found["balanced"], found["constant_answers"]) == (False, {"agree": "E", "disagree": "I"})
    result = invoke("data", "check", ROOT / "data" / "questionnaires" / "mbti-a.ko.json")
    assert (result.exit_code, "The key is balanced" in result.stdout) == (0, True)


def test_a_questionnaire_without_a_key_exits_1(invoke, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,axis\nI like crowds.,E/I\n")
    result = invoke("data", "check", path)
    assert (result.exit_code, "there is no key" in result.stderr) == (1, True)
