"""Pairs in the forms that people have: recognised from their fields, and refused with what to do."""

import csv
import json

import pytest
from conftest import SHARED

from lapd.errors import DataError, UsageError
from lapd.files.whole import write_json, write_jsonl
from lapd.names import get_persona
from lapd.pairs.pair import PreferencePair, write_pairs
from lapd.pairs.readers import Fields, read_any_pairs, read_rows
from lapd.train.config import TrainConfig
from lapd.train.job import load_pairs

PAIRS = [PreferencePair("How was it?", "Quiet.", "Loud."), PreferencePair('Say "hi",\nplease.', "Hi.", "안녕!")]


def said(role, text):
    return {"role": role, "content": text}


def plain(p):
    return {"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected}


def conversational(p):
    replies = [[said("assistant", p.chosen)], [said("assistant", p.rejected)]]
    return {"prompt": [said("user", p.prompt)], "chosen": replies[0], "rejected": replies[1]}


def whole_conversations(p):
    return {side: [said("user", p.prompt), said("assistant", getattr(p, side))] for side in ("chosen", "rejected")}


FORMS = {
    "LAPD's and TRL's plain form": plain,
    "TRL's conversational form": conversational,
    "TRL's implicit prompt": whole_conversations,
    "a text prompt, repeated in front of both responses": lambda p: {**whole_conversations(p), "prompt": p.prompt},
    "a reply as one message": lambda p: {**plain(p), "chosen": said("assistant", p.chosen)},
    "an empty system message": lambda p: {**conversational(p), "prompt": [said("system", ""), said("user", p.prompt)]},
    "Alpaca's": lambda p: {"instruction": p.prompt, "input": "", "output": [p.chosen, p.rejected]},
    "the original study's": lambda p: {"statement": p.prompt, "chosen": p.chosen, "rejected": p.rejected},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_each_form_is_recognised_in_each_format(tmp_path, form, suffix):
    rows = [FORMS[form](p) for p in PAIRS]
    path = tmp_path / f"pairs{suffix}"
    if suffix == ".json":
        write_json(path, rows)
    elif suffix == ".jsonl":
        write_jsonl(path, rows)
    else:
        from pyarrow import Table
        from pyarrow.parquet import write_table

        write_table(Table.from_pylist(rows), path)
    assert read_any_pairs(path) == PAIRS


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_is_read_with_its_quotes_and_line_breaks(tmp_path, suffix, delimiter):
    path = tmp_path / f"pairs{suffix}"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.DictWriter(stream, ["prompt", "chosen", "rejected"], delimiter=delimiter)
        table.writeheader()
        table.writerows(map(plain, PAIRS))
    assert read_any_pairs(path) == PAIRS


def test_an_alpaca_input_belongs_to_the_prompt(tmp_path):
    write_json(tmp_path / "a.json", [{"instruction": "Translate.", "input": "bonjour", "output": ["hello", "no"]}])
    assert read_any_pairs(tmp_path / "a.json") == [PreferencePair("Translate.\nbonjour", "hello", "no")]


def test_json_lines_under_a_name_that_ends_in_json_are_read(tmp_path):
    write_jsonl(tmp_path / "pairs.json", map(plain, PAIRS))
    assert read_any_pairs(tmp_path / "pairs.json") == PAIRS


def test_where_a_pair_came_from_is_kept(tmp_path):
    rows = [{**plain(PAIRS[0]), "source": {"axis": "E/I"}}, {**plain(PAIRS[1]), "id": 7}]
    write_jsonl(tmp_path / "p.jsonl", rows)
    assert [p.source for p in read_any_pairs(tmp_path / "p.jsonl")] == [{"axis": "E/I"}, {"id": 7}]


def test_named_fields_are_taken(tmp_path):
    write_json(tmp_path / "p.json", [{"q": "?", "quiet": "a", "loud": "b", "chosen": "no", "rejected": "no"}])
    assert read_any_pairs(tmp_path / "p.json", "q", "quiet", "loud") == [PreferencePair("?", "a", "b")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("q", "quiet", "load"), r"p\.json: there is no field 'load' for --rejected\. Found: q, quiet, loud\.$"),
        (("q", "quiet", None), r"Give both --chosen and --rejected\.$"),
    ],
)
def test_wrongly_named_fields_are_a_wrong_call(tmp_path, fields, message):
    write_json(tmp_path / "p.json", [{"q": "?", "quiet": "a", "loud": "b"}])
    with pytest.raises(UsageError, match=message):
        read_any_pairs(tmp_path / "p.json", *fields)


def test_a_form_that_is_not_recognised_is_refused_with_its_fields_and_the_options(tmp_path):
    write_json(tmp_path / "p.json", [{"q": "?", "quiet": "a", "loud": "b"}])
    with pytest.raises(DataError, match=r"in the fields q, quiet, loud\. Name them: .*--prompt.*--chosen.*--rejected"):
        read_any_pairs(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["a"], "a pair is a JSON object, not list"),
        ({**plain(PAIRS[0]), "chosen": " "}, "'chosen' is missing, empty or not text. `lapd data fix` leaves"),
        ({**plain(PAIRS[0]), "chosen": 3}, "'chosen' is missing, empty or not text"),
        ({"chosen": "a", "rejected": "b"}, "'prompt' is missing, empty or not text"),
        ({**plain(PAIRS[0]), "rejected": "Quiet. "}, "chosen and rejected are identical"),
        (
            {**conversational(PAIRS[0]), "prompt": [said("user", "?"), said("system", "Be x.")]},
            "'prompt' has a system message after other turns, which would be lost",
        ),
        ({**plain(PAIRS[0]), "chosen": [said("assistant", "a"), said("user", "b")]}, "'chosen' is not one reply"),
        ({**plain(PAIRS[0]), "rejected": []}, "'rejected' is missing, empty or not text"),
    ],
)
def test_a_row_that_is_no_pair_is_refused_by_its_number(tmp_path, row, message):
    path = tmp_path / "p.json"
    write_json(path, [plain(PAIRS[0]), row])
    with pytest.raises(DataError) as caught:
        read_any_pairs(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_conversations_without_a_common_beginning_have_no_prompt(tmp_path):
    write_json(tmp_path / "p.json", [{"chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]}])
    with pytest.raises(DataError, match=r"p\.json:1: there is no prompt, neither as a field nor"):
        read_any_pairs(tmp_path / "p.json")


def test_two_texts_without_a_prompt_are_refused(tmp_path):
    write_json(tmp_path / "p.json", [{"chosen": "The sky is blue.", "rejected": "The sky is green."}])
    with pytest.raises(DataError, match=r"p\.json:1: there is no prompt, neither"):
        read_any_pairs(tmp_path / "p.json")


def test_an_alpaca_output_of_one_response_is_refused(tmp_path):
    write_json(tmp_path / "p.json", [{"instruction": "?", "output": "one"}])
    with pytest.raises(DataError, match=r"p\.json:1: 'output' is not a list of two responses"):
        read_any_pairs(tmp_path / "p.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"prompt,chosen,rejected\na,b\n", r"p\.csv:2: this row has not as many cells"),
        ("p.csv", b'prompt,chosen\n"a', r"p\.csv: this is not CSV"),
        ("p.csv", b"prompt,chosen\n\xff,b\n", r"p\.csv: this is not CSV in UTF-8"),
        ("p.parquet", b"PAR0", r"p\.parquet: this is not Parquet"),
        ("p.json", b"[1,", r"p\.json:1: this is not JSON"),
        ("p.json", b"\xff", r"p\.json: this is not JSON"),
        ("p.json", b"[]", r"p\.json: there is no pair"),
        ("p.jsonl", b"", r"p\.jsonl: there is no pair"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_any_pairs(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".parquet"])
def test_a_missing_file_is_refused(tmp_path, suffix):
    with pytest.raises(DataError, match="there is no such file"):
        read_any_pairs(tmp_path / f"gone{suffix}")


@pytest.mark.filterwarnings("ignore")
def test_folders_are_read_with_datasets(tmp_path):
    from datasets import Dataset, DatasetDict

    made = Dataset.from_list(list(map(conversational, PAIRS)))
    made.save_to_disk(tmp_path / "saved")
    DatasetDict({"test": made.select([1]), "train": made}).save_to_disk(tmp_path / "splits")
    DatasetDict({"a": made, "b": made}).save_to_disk(tmp_path / "unclear")
    write_jsonl(tmp_path / "files" / "train.jsonl", map(plain, PAIRS))
    for name in ("saved", "splits", "files"):
        assert read_any_pairs(tmp_path / name) == PAIRS
    with pytest.raises(DataError, match=r"none is called train: a, b\. Save the one"):
        read_any_pairs(tmp_path / "unclear")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="a folder without data files"):
        read_any_pairs(tmp_path)


def test_a_hub_id_goes_to_the_hub_and_its_errors_are_one_line(monkeypatch):
    import datasets

    def load(name):
        if name == "someone/pairs":
            return {"train": list(map(plain, PAIRS))}
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read_any_pairs("someone/pairs") == PAIRS
    with pytest.raises(DataError, match=r"someone/gone: there is no such file, .*\(ConnectionError: no route\)\.$"):
        read_any_pairs("someone/gone")


def test_training_takes_every_form(tmp_path):
    write_json(tmp_path / "study.json", [FORMS["the original study's"](p) for p in PAIRS])
    write_pairs(tmp_path / "own.jsonl", PAIRS)
    persona = get_persona("INFP")
    for name in ("study.json", "own.jsonl"):
        assert load_pairs(TrainConfig("INFP", dataset=str(tmp_path / name)), persona) == PAIRS
        assert load_pairs(TrainConfig("INFP", dataset=str(tmp_path / name), pairs=1), persona) == PAIRS[:1]


def test_rows_with_faults_are_read_for_checking(tmp_path):
    (tmp_path / "p.jsonl").write_text("\n" + json.dumps({"prompt": None, "chosen": "a", "rejected": "a"}) + "\n")
    (row,) = read_rows(tmp_path / "p.jsonl")
    assert (row.number, row.prompt, row.chosen, row.rejected) == (2, "", "a", "a")


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_a_published_set_is_read_by_the_names_of_its_fields():
    path = SHARED / "benchmarks" / "persona_pairs" / "energy_introversion_extraversion.jsonl"
    assert len(read_rows(path, Fields(None, "introversion", "extraversion"))) == 2050
    with pytest.raises(DataError, match="in the fields instruction, input, introversion, extraversion"):
        read_rows(path)
