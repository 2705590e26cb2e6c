"""`lapd tasks check`: a task that lm-eval would skip, or that would fail later, is found before."""

import json

import pytest
from conftest import ROOT, SHARED

from lapd.catalog import find as catalog
from lapd.catalog.check import BROKEN, NO_DATA, OK, check_tasks
from lapd.hookspecs import TaskFolder

pytestmark = pytest.mark.slow

UTILS = """
from datasets import Dataset
from lapd.errors import DataError

def documents(**_):
    return {"test": Dataset.from_list([{"q": "Why?", "a": ["x", "y"]}, {"q": "How?", "a": ["x", "x"]}])}

def twice(**_):
    return {"test": documents()["test"].select([1])}

def nothing(**_):
    raise DataError("there", "there is no such folder.")

def crash(**_):
    raise ZeroDivisionError

def empty(doc):
    return "  "

def score(doc, results):
    return {"acc": 1.0}

def none(doc, results):
    return {}
"""

TASK = """
task: {name}
custom_dataset: !function utils.documents
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: ""
process_results: !function utils.score
generation_kwargs: {{until: [], max_gen_toks: 4}}
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""

CHOICE = """
task: {name}
custom_dataset: !function utils.twice
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: "{{{{a}}}}"
doc_to_target: 0
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer of words with a chat template, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tokenizer")
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    made.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    made.save_pretrained(folder)
    return folder


@pytest.fixture
def check(tmp_path, tokenizer):
    """`check(**yamls)`: the findings on a folder with these tasks, by name."""

    def run(data_dir=None, **yamls):
        (tmp_path / "utils.py").write_text(UTILS)
        for name, text in yamls.items():
            (tmp_path / f"{name}.yaml").write_text(text.format(name=name))
        return {f.task: (f.state, f.detail) for f in check_tasks(tokenizer, data_dir, [TaskFolder("mine", tmp_path)])}

    return run


def test_a_sound_task_is_ok(check):
    assert check(sound=TASK) == {"sound": (OK, "2 documents")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("utils.documents", "utils.crash"), "ZeroDivisionError"),
        (("utils.documents", "utils.missing"), "AttributeError: .*has no function 'missing'"),
        (("utils.documents", "utils.nothing"), "there: there is no such folder"),
        (('"{{{{q}}}}"', "!function utils.empty"), "the prompt of document 0 is empty"),
        (("{{until: [], max_gen_toks: 4}}", "{{max_gen_toks: 4}}"), "no `until`: lm-eval would stop at a blank line"),
        (("utils.score", "utils.none"), "document 0 has no score"),
        (("{{metric: acc,", "{{metric: other,"), "the score acc is not in its metric_list"),
        (("task: {name}", "task: [x"), "broken.yaml is not YAML"),
        (("metadata", "metadata"), None),
    ],
)
def test_each_way_to_be_broken_is_told(check, change, says):
    import re

    state, detail = check(broken=TASK.replace(*change))["broken"]
    assert state == (BROKEN if says else OK)
    assert says is None or re.search(says, detail)
    assert "\n" not in detail


def test_a_choice_that_is_offered_twice_is_told(check):
    assert check(choice=CHOICE) == {"choice": (BROKEN, "document 0 offers one choice twice")}
    assert check(choice=CHOICE.replace("utils.twice", "utils.documents"))["choice"][0] == BROKEN


def test_a_chat_template_that_loses_the_prompt_is_told(check, tokenizer, tmp_path, monkeypatch):
    config = tokenizer / "chat_template.jinja"
    template = config.read_text()
    config.write_text("nothing of it")
    try:
        assert check(sound=TASK)["sound"] == (BROKEN, "the chat template loses the prompt of document 0")
    finally:
        config.write_text(template)


def test_data_that_are_not_there_break_nothing_and_wrong_data_do(check, tmp_path, monkeypatch):
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    task = TASK.replace("utils.documents", "utils.nothing") + "metadata: {{lapd: {{publisher: letters}}}}\n"
    assert check(remote=task)["remote"] == (NO_DATA, "there: there is no such folder.")
    (tmp_path / "data" / "letters").mkdir(parents=True)
    assert check(data_dir=str(tmp_path / "data"), remote=task)["remote"][0] == BROKEN


def test_two_tasks_of_one_name_are_told(check):
    found = check(one=TASK.replace("{name}", "same"), two=TASK.replace("{name}", "same"))
    assert found["same"][0] == BROKEN
    assert "one.yaml has a task of this name, too" in found["same"][1]


def test_the_tasks_of_a_pack_that_lie_in_no_file_are_checked_too(tokenizer, monkeypatch):
    monkeypatch.setenv("LAPD_TRAITS", str(ROOT / "examples/lapd-bigfive/lapd_bigfive/traits"))
    monkeypatch.setattr(catalog, "registry", lambda kind: {})
    states = {f.task: (f.state, f.detail) for f in check_tasks(tokenizer)}
    assert states["bigfive_situations"] == (OK, "75 documents")
    assert {state for state, _ in states.values()} == {OK}


def test_every_shipped_task_works_or_lacks_only_its_data(warm_lapd):
    data = SHARED / "benchmarks"
    there = data.is_dir()
    args = ("--data-dir", str(data)) if there else ()
    done = warm_lapd("tasks", "check", "--json", *args, env={"LAPD_DATA_DIR": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    found = {row["task"]: row for row in json.loads(done.stdout)}
    assert len(found) == len(list((ROOT / "tasks").glob("*/*.yaml")))
    assert found.pop("own_pairs")["state"] == NO_DATA
    assert {row["state"] for row in found.values()} <= ({OK} if there else {OK, NO_DATA})


def test_without_data_both_ways_are_named_and_the_exit_code_is_0(warm_lapd, tmp_path):
    """No cache either, but for the embedded model's: what forks know is the server's, and empty."""
    from lapd.models.embedded import embedded_folder

    env = {"LAPD_DATA_DIR": "", "LAPD_CACHE": str(tmp_path)}
    done = warm_lapd("tasks", "check", "--json", "--base", embedded_folder(), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    lacking = {row["task"]: row["detail"] for row in json.loads(done.stdout) if row["state"] == NO_DATA}
    assert "pairs of your own" in lacking.pop("own_pairs")
    assert {"eqbench", "eqbench_revised", "socialiqa"} <= set(lacking)
    for detail in lacking.values():
        assert "--data-dir (or LAPD_DATA_DIR)" in detail
        assert "get a network" in detail


def test_a_broken_task_of_a_plugin_makes_the_command_fail(warm_lapd, make_distribution, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "utils.py").write_text(UTILS)
    (folder / "torn.yaml").write_text("task: [torn")
    source = (
        "from pathlib import Path\nfrom lapd import hookimpl\nfrom lapd.hookspecs import TaskFolder\n"
        f"@hookimpl\ndef lapd_register_tasks(register):\n    register(TaskFolder('more', Path({str(folder)!r})))\n"
    )
    site = make_distribution("more", source)
    done = warm_lapd("tasks", "check", env={"PYTHONPATH": str(site), "LAPD_DATA_DIR": ""})
    assert done.returncode == 1
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("torn")] == [
        ["torn", "broken", "torn.yaml", "is", "not", "YAML"]
    ]


def test_the_listing_is_still_there(invoke):
    assert "eqbench_revised" in invoke("tasks").stdout
    assert {"task", "folder", "needs_data"} <= set(json.loads(invoke("tasks", "--json").stdout)[0])
    assert invoke("tasks", "--path").stdout.strip() == str(ROOT / "tasks")
