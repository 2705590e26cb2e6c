"""Other people's questionnaires: validated, refused without a key, and warned of where a constant answer is a type."""

import gzip

import pytest
from conftest import ROOT
from lapd.data import mbti
from lapd.tasks.mbti import utils

from lapd.catalog.find import find_task
from lapd.errors import DataError
from lapd.evaluate.plan import make_cells
from lapd.files.whole import read_json, write_json, write_jsonl
from lapd.questionnaires.reading import is_questionnaire, read_questionnaire
from lapd.record.cells import Arm, Settings

AXES = mbti().ends

HEADER = "text,axis,key\n"
BALANCED = HEADER + 'I like crowds.,E/I,E\n"I like quiet, mostly.",ei,-E\nI plan.,J/P,+J\nI drift.,P/J,p\n'
UNBALANCED = HEADER + "I like crowds.,E/I,E\nI like parties.,E/I,E\nI like quiet.,E/I,I\nI plan.,JP,-J\nSo.,T/F,T\n"
OWN = ROOT / "data" / "questionnaires" / "mbti-a.en.json"


def written(tmp_path, text, name="q.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_items_are_keyed_to_a_pole_however_it_is_written(tmp_path):
    items = read_questionnaire(written(tmp_path, BALANCED)).items
    assert [(i.axis, i.statements) for i in items] == [
        ("E/I", {"E": "I like crowds."}),
        ("E/I", {"I": "I like quiet, mostly."}),
        ("J/P", {"J": "I plan."}),
        ("J/P", {"P": "I drift."}),
    ]
    assert [i.id for i in items] == ["item-001", "item-002", "item-003", "item-004"]


@pytest.mark.parametrize("suffix", ["list.json", "items.json", "lines.jsonl"])
def test_json_is_read_as_csv_is(tmp_path, suffix):
    rows = [{"id": "x", "text": "I like crowds.", "axis": "E/I", "key": "E", "facet": "crowds"}]
    path = tmp_path / suffix
    if suffix == "lines.jsonl":
        write_jsonl(path, rows)
    else:
        write_json(path, rows if suffix == "list.json" else {"items": rows})
    assert is_questionnaire(path)
    (item,) = read_questionnaire(path).items
    assert (item.id, item.axis, item.facet, item.statements) == ("x", "E/I", "crowds", {"E": "I like crowds."})


@pytest.mark.parametrize("name", ["Q.CSV", "q.csv.gz"])
def test_a_questionnaire_is_known_by_its_format_however_its_name_is_written(tmp_path, name):
    pack = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(pack(("\ufeff" + BALANCED).encode()))
    assert is_questionnaire(tmp_path / name)
    assert len(read_questionnaire(tmp_path / name).items) == 4


def test_a_balanced_key_gives_no_type_to_a_constant_answer(tmp_path):
    found = read_questionnaire(written(tmp_path, BALANCED))
    assert (found.constant_answer(), found.constant_answer(False), found.warning) == ("--", "--", "")
    assert found.keyed == {"E/I": {"E": 1, "I": 1}, "J/P": {"J": 1, "P": 1}}
    assert read_questionnaire(OWN).warning == ""


def test_an_unbalanced_key_is_accepted_with_the_type_of_a_constant_answer(tmp_path):
    found = read_questionnaire(written(tmp_path, UNBALANCED))
    assert (found.constant_answer(), found.constant_answer(False)) == ("ETP", "IFJ")
    assert "(2 for E, 1 for I, 1 for T, 0 for F, 0 for J, 1 for P)" in found.warning
    assert "'agree' everywhere gives ETP, 'disagree' everywhere IFJ; the middle everywhere" in found.warning
    assert "\n" not in found.warning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,axis\nI like crowds.,E/I\n", r"q\.csv:2: there is no key, so nobody can say"),
        (HEADER + "I like crowds.,E/I,E\nI like quiet.,E/I,\n", r"q\.csv:3: there is no key"),
        (HEADER + ",E/I,E\n", r"q\.csv:2: 'text' is missing or empty"),
        (HEADER + "I like crowds.,,E\n", r"q\.csv:2: 'axis' is missing or empty"),
        (HEADER + "I like crowds.,E/X,E\n", r"q\.csv:2: there is no axis 'E/X'\. Known: E/I, S/N, T/F, J/P"),
        (HEADER + "I like crowds.,E/I,N\n", r"q\.csv:2: the key 'N' is no pole of E/I"),
        (HEADER + "I like crowds.,E/I,1\n", r"q\.csv:2: the key '1' is no pole of E/I"),
        (HEADER + "Same.,E/I,E\nSame.,E/I,I\n", r"q\.csv: the text 'Same\.' is there 2 times"),
        ("id," + HEADER + "1,One.,E/I,E\n1,Two.,E/I,I\n", r"q\.csv: the id '1' is there 2 times"),
        (HEADER, r"q\.csv: there is no item in this questionnaire"),
        (HEADER + "I like crowds.\n", r"q\.csv:2: this row has not as many cells"),
    ],
)
def test_a_questionnaire_that_cannot_be_scored_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_questionnaire(written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("licence"), "'licence' is missing"),
        (lambda r: r.update(provenance=" "), "'provenance' is missing"),
        (lambda r: r.pop("items"), "there is no list of `items`"),
        (lambda r: r["items"].pop(), "J/P has 15 items, not 16"),
        (lambda r: r["items"][1].update(id=r["items"][0]["id"]), "the id 'a-ei-01' is there 2 times"),
        (lambda r: r["items"][2]["statements"].pop("F"), "x.json:3: item 'a-tf-01' has not a statement for each pole"),
        (lambda r: r["items"][0].pop("facet"), "x.json:1: an item has no 'facet'"),
        (lambda r: r["items"].append(["x"]), "x.json:65: an item is an object, not list"),
    ],
)
def test_a_record_of_lapds_own_is_checked(tmp_path, change, message):
    record = read_json(OWN)
    change(record)
    write_json(tmp_path / "x.json", record)
    with pytest.raises(DataError, match=message):
        read_questionnaire(tmp_path / "x.json")


def test_other_files_are_no_questionnaires(tmp_path):
    pairs = [{"text": "x", "chosen": "a", "rejected": "b"}]
    write_json(tmp_path / "pairs.json", pairs)
    assert not is_questionnaire(tmp_path / "pairs.json")
    assert not is_questionnaire(written(tmp_path, "prompt,chosen,rejected\n", "pairs.csv"))
    assert not is_questionnaire(written(tmp_path, "{", "broken.json"))
    assert not is_questionnaire(tmp_path / "gone.csv")
    assert is_questionnaire(OWN)
    with pytest.raises(DataError, match=r"q\.txt: a questionnaire is a file"):
        read_questionnaire(tmp_path / "q.txt")


def test_the_task_asks_single_statements_for_agreement_only_and_scores_the_key(tmp_path):
    path = written(tmp_path, UNBALANCED)
    docs = list(utils.documents(questionnaire=str(path))["test"])
    assert len(docs) == 10
    assert {doc["way"] for doc in docs} == {"agreement"}
    agrees = [0.0 if n == 6 else -1e9 for n in range(7)]
    scored = {}
    for doc in docs:
        answer = agrees[::-1] if doc["flipped"] else agrees
        for metric, value in utils.score(doc, [(x, False) for x in answer]).items():
            scored.setdefault(metric, []).append(value)
    means = {metric: sum(values) / len(values) for metric, values in scored.items()}
    # Who agrees with everything is what the warning says.
    assert means["agreement_EI"] == pytest.approx(200 / 3)
    assert (means["agreement_TF"], means["agreement_JP"], means["acquiescence"]) == (100, 0, 100)


def test_a_questionnaire_belongs_to_a_cells_identity_by_its_content(tmp_path, base):
    path, copy = written(tmp_path, BALANCED), written(tmp_path, BALANCED, "copy.csv")
    other = written(tmp_path, UNBALANCED, "other.csv")

    def names(settings):
        cells = make_cells(base, [Arm()], [find_task("mbti"), find_task("situations")], settings)
        return [cell.name for cell in cells]

    own, situations = names(Settings())
    mine = names(Settings(questionnaire=str(path)))
    assert mine[0] != own
    assert mine == names(Settings(questionnaire=str(copy)))
    assert names(Settings(questionnaire=str(other)))[0] not in (own, mine[0])
    assert mine[1] == situations


def test_the_engine_hands_the_questionnaire_to_the_task(tmp_path):
    from lapd.answering.engine import Engine

    engine = Engine.__new__(Engine)
    engine.data_dir, engine._managers, engine._tasks = None, {}, {}
    engine.subject = type("Subject", (), {"tokenizer": str(tmp_path)})
    engine.questionnaire = str(written(tmp_path, BALANCED))
    assert engine._manager(find_task("mbti")).metadata["questionnaire"] == engine.questionnaire


def test_eval_refuses_a_questionnaire_that_is_of_no_use(invoke, base_folder, tmp_path):
    path = written(tmp_path, "text,axis\nI like crowds.,E/I\n")
    common = ["--base", base_folder, "--arms", "base", "-o", tmp_path / "run", "--questionnaire", path]
    result = invoke("eval", "--tasks", "mbti", *common)
    assert (result.exit_code, "there is no key" in result.stderr) == (1, True)
    result = invoke("eval", "--tasks", "situations", *common)
    assert (result.exit_code, "None of the tasks takes a questionnaire: situations." in result.stderr) == (2, True)
    assert not (tmp_path / "run").exists()


def test_every_axis_may_be_alone(tmp_path):
    for axis, (first, second) in AXES.items():
        found = read_questionnaire(written(tmp_path, f"{HEADER}One.,{axis},{first}\nTwo.,{axis},{first}\n"))
        assert (found.constant_answer(), found.constant_answer(False)) == (first, second)
