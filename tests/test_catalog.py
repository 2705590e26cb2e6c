"""The catalogue of tasks: what their YAML says, what their digest depends on, what is said of a broken one."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, run_python
from lapd.data import mbti

from lapd.catalog import find as catalog
from lapd.catalog import lm_eval_own
from lapd.catalog.find import find_task, tasks
from lapd.catalog.task import GRADE, TaskInfo
from lapd.errors import DataError, PluginError
from lapd.hookspecs import TaskFolder

AXES = mbti().ends

SHIPPED = sorted((ROOT / "tasks").glob("*/*.yaml"))


def test_every_shipped_yaml_is_a_task():
    assert len(SHIPPED) >= 5
    found = tasks()
    assert {info.folder for info in found.values()} == {path.parent for path in SHIPPED}
    assert len(found) == len(SHIPPED)
    assert {"mbti", "situations", "situations_open", "socialiqa", "socialiqa_mini"} <= set(found)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_task_says_what_lapd_needs_to_know(path):
    text = path.read_text()
    name = yaml.load(text, catalog._Loader)["task"]
    info = tasks()[name]
    assert name == path.stem
    assert info.version
    assert info.description
    assert "\n" not in info.description
    assert info.kind in ("multiple_choice", "generate_until")
    assert info.item
    assert info.side
    assert info.primary in {*info.metrics, *info.axes, *([GRADE] if info.graded else [])}
    assert info.include_path == ROOT / "tasks"
    for family, by_axis in info.axes.items():
        assert list(by_axis) == list(AXES), family
        assert set(by_axis.values()) <= set(info.metrics)
    assert set(info.units) <= {*info.axes, *info.parts, *info.metrics}
    assert set(yaml.load(text, catalog._Loader)["metadata"]["lapd"]) <= set(TaskInfo.__dataclass_fields__)
    for part in info.data:
        assert ((mbti().folder if info.traits else ROOT / "data") / part).exists()


def test_a_metric_has_its_family_axis_and_unit():
    info = find_task("mbti")
    assert info.self_report
    assert info.family("agreement_TF") == ("agreement", "T/F")
    assert info.family("likelihood_nats_JP") == ("likelihood_nats", "J/P")
    assert info.family("acquiescence") == ("acquiescence", None)
    assert (info.unit("likelihood_EI"), info.unit("likelihood_nats_EI")) == ("points", "nats")
    assert info.unit("position_bias") == "points"
    assert find_task("socialiqa_mini").unit("acc") == "share"


def test_no_metric_from_0_to_100_passes_for_a_share():
    info = find_task("mbti")
    assert {info.unit(metric) for metric in info.metrics} == {"points", "nats", "percent"}


@pytest.fixture
def copied_task(tmp_path):
    """`situations` in a folder of its own."""
    folder = tmp_path / "tasks" / "situations"
    shutil.copytree(ROOT / "tasks" / "situations", folder)
    return replace(find_task("situations"), folder=folder)


def test_a_digest_depends_on_yaml_and_code_and_not_on_the_place(copied_task):
    before = copied_task.digest(None)
    assert find_task("situations").digest(None) == before
    (copied_task.folder / "README.md").write_text("x")
    (copied_task.folder / "__pycache__").mkdir(exist_ok=True)
    (copied_task.folder / "__pycache__" / "utils.cpython-311.pyc").write_bytes(b"x")
    assert copied_task.digest(None) == before
    digests = {before}
    for name in ("utils.py", "situations.yaml"):
        with (copied_task.folder / name).open("a") as stream:
            stream.write("# x\n")
        digests.add(copied_task.digest(None))
    digests |= {replace(copied_task, version="9").digest(None), replace(copied_task, name="x").digest(None)}
    assert len(digests) == 5


def test_a_digest_depends_on_the_publishers_files(tmp_path, monkeypatch):
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    info = find_task("socialiqa")
    folder = tmp_path / "socialiqa"
    folder.mkdir()
    (folder / "dev.jsonl").write_text("{}\n")
    digest = info.digest(str(tmp_path))
    assert digest != info.digest(None)
    monkeypatch.setenv("LAPD_DATA_DIR", str(tmp_path))
    assert info.digest(None) == digest
    (folder / "dev.jsonl").write_text("{} \n")
    assert info.digest(None) != digest
    with pytest.raises(DataError, match=r"there is no such folder, which socialiqa needs"):
        info.digest(str(tmp_path / "elsewhere"))


@pytest.fixture
def digest_of_a_copy(tmp_path):
    """The digest of a task as a copy of LAPD computes it, whose files can be changed."""
    site = tmp_path / "copied"
    shutil.copytree(ROOT / "lapd", site / "lapd")
    for part in ("plugins", "tasks", "data"):
        shutil.copytree(ROOT / part, site / "lapd" / part)

    def digest(task):
        code = (
            "import sys, lapd; from lapd.catalog.find import find_task\n"
            "print(lapd.__file__, find_task(sys.argv[1]).digest(None))"
        )
        done = run_python(code, task, env={"PYTHONPATH": str(site)})
        assert done.returncode == 0, done.stderr
        place, value = done.stdout.split()
        assert Path(place).is_relative_to(site)
        return value

    return site / "lapd", digest


def test_a_digest_changes_with_the_tasks_data_and_no_other(digest_of_a_copy):
    package, digest = digest_of_a_copy
    before = {name: digest(name) for name in ("mbti", "situations")}
    path = package / "data" / "traits" / "mbti" / "contrast" / "en" / "tf.jsonl"
    path.write_text(path.read_text().replace("promotion", "post", 1))
    assert digest("situations") != before["situations"]
    assert digest("mbti") == before["mbti"]


@pytest.mark.parametrize("shared", ["tasks/common.py", "data/__init__.py"])
def test_a_digest_changes_with_the_code_that_tasks_share(digest_of_a_copy, shared):
    package, digest = digest_of_a_copy
    before = digest("mbti")
    with (package / shared).open("a") as stream:
        stream.write("\n# scores differently from here on\n")
    assert digest("mbti") != before


@pytest.fixture
def registered_folder(tmp_path, monkeypatch):
    """A folder of tasks beside LAPD's own, as a plugin would register it."""
    folder = tmp_path / "extra"
    folder.mkdir()
    both = {**catalog.registry("tasks"), "extra": TaskFolder("extra", folder)}
    monkeypatch.setattr(catalog, "registry", lambda kind: both)
    return folder


def test_a_task_needs_no_block_for_lapd(registered_folder):
    (registered_folder / "plain.yaml").write_text("task: plain\noutput_type: generate_until\n")
    info = find_task("plain")
    assert info == TaskInfo(
        "plain", registered_folder, registered_folder, "", kind="generate_until", metrics=(), data=()
    )
    assert info.item is None


def test_a_broken_yaml_is_left_out_with_one_line_that_names_it(registered_folder, capsys):
    (registered_folder / "broken.yaml").write_text("task: [broken\n")
    (registered_folder / "group.yaml").write_text("group: g\ntask: [a, b]\n")
    (registered_folder / "list.yaml").write_text("- a\n")
    found = tasks()
    assert "mbti" in found
    assert len(found) == len(SHIPPED)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Warning: {registered_folder / 'broken.yaml'} is not YAML")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"task: x\nmetadata: [1]\n", b"task: x\nmetric_list: [acc]\n"], ids=["text", "a", "b"]
)
def test_a_task_of_another_shape_does_not_stop_the_others(registered_folder, content):
    (registered_folder / "odd.yaml").write_bytes(content)
    assert "mbti" in tasks()


def test_two_tasks_with_one_name_are_not_mistaken_for_each_other(registered_folder, capsys):
    (registered_folder / "mine.yaml").write_text("task: mbti\n")
    try:
        tasks()
    except Exception as error:
        assert "mbti" in str(error)
    else:
        assert "mbti" in capsys.readouterr().err


def test_an_unknown_task_offers_the_nearest_of_lapds_and_lm_evals(invoke, base_folder, tmp_path):
    for name, near in (("situation", "situations"), ("hellaswagg", "hellaswag")):
        result = invoke("eval", "--base", base_folder, "--tasks", name, "-o", tmp_path / "run")
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: There is no task '{name}'. Did you mean {near}")
        assert result.stderr.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_an_unknown_task_is_refused_without_importing_lm_eval():
    code = (
        "import sys\nfrom lapd.errors import UnknownNameError\nfrom lapd.catalog.find import find_task\n"
        "try:\n    find_task('situation')\nexcept UnknownNameError:\n    print('lm_eval' in sys.modules)\n"
    )
    assert run_python(code).stdout == "False\n"


@pytest.mark.slow
@pytest.mark.thorough
def test_every_task_that_lm_eval_indexes_is_found_in_its_files(capsys):
    from lm_eval.tasks import TaskManager

    groups = {path.stem for path in (ROOT / "tasks").glob("*.yaml")}
    assert set(TaskManager().all_tasks) - set(tasks()) - groups <= lm_eval_own.names_in_lm_eval()
    capsys.readouterr()
    info = find_task("eq_bench")
    assert (info.include_path, info.folder.name) == (None, "eq_bench")
    assert capsys.readouterr().err == "eq_bench is none of LAPD's tasks: indexing lm-eval's own ...\n"


def test_a_digest_depends_on_the_modules_that_decide_the_scores(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    rules = tmp_path / "rules_of_scoring.py"
    digests = set()
    for text in ("A = 1\n", "A = 2\n"):
        rules.write_text(text)
        digests.add(replace(find_task("situations"), code=("rules_of_scoring",)).digest(None))
    assert len(digests | {find_task("situations").digest(None)}) == 3
    for missing in ("no_such_rules", "no.such.rules"):
        with pytest.raises(PluginError, match=rf"names the module {missing} under `code`"):
            replace(find_task("situations"), code=(missing,)).digest(None)
