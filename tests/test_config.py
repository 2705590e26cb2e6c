"""Settings from YAML: typed, complete, refused by file and key before any work is begun."""

from dataclasses import dataclass, field

import pytest
from conftest import ROOT

from lapd.errors import DataError, LapdError, UnknownNameError, UsageError
from lapd.experiment.file import read_experiment
from lapd.files.settings import build, read_yaml
from lapd.train.config import TrainConfig


@dataclass
class Sample:
    number: float
    count: int = 1
    maybe: int | None = 5
    names: list[str] = field(default_factory=list)
    flag: bool = False


def test_values_are_taken_and_defaults_filled_in():
    assert build(Sample, {"number": 2, "names": ["a"]}, "x") == Sample(2.0, 1, 5, ["a"], False)
    assert build(Sample, {"number": 0.5, "maybe": None, "flag": True}, "x") == Sample(0.5, maybe=None, flag=True)


def test_what_yaml_reads_as_text_or_as_a_whole_number_is_a_number():
    built = build(Sample, {"number": "2e-4"}, "x")
    assert built.number == 0.0002
    assert isinstance(build(Sample, {"number": 2}, "x").number, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"number": 1, "cuont": 2}, "f.yaml: There is no setting 'cuont'. Did you mean count?"),
        ({}, "f.yaml: the setting 'number' is missing."),
        ({"number": "fast"}, "f.yaml: number: 'fast' is not float."),
        ({"number": True}, "f.yaml: number: True is not float."),
        ({"number": 1, "count": 1.5}, "f.yaml: count: 1.5 is not int."),
        ({"number": 1, "count": True}, "f.yaml: count: True is not int."),
        ({"number": 1, "maybe": "x"}, "f.yaml: maybe: 'x' is not int or nothing."),
        ({"number": 1, "names": "INFP"}, "f.yaml: names: 'INFP' is not list[str]."),
        ({"number": 1, "flag": 1}, "f.yaml: flag: 1 is not bool."),
    ],
)
def test_a_wrong_value_is_refused_by_key(values, message):
    with pytest.raises(DataError) as caught:
        build(Sample, values, "f.yaml")
    assert str(caught.value).startswith(message)


@dataclass
class Lists:
    strengths: list[float | int]
    settings: list[dict[str, int]]


def test_a_list_may_be_of_several_kinds_or_of_mappings():
    assert build(Lists, {"strengths": [0.5, 1], "settings": [{"a": 1}]}, "x") == Lists([0.5, 1], [{"a": 1}])
    with pytest.raises(DataError, match=r"x: strengths: \[0\.5, 'one'\] is not list\[float \| int\]"):
        build(Lists, {"strengths": [0.5, "one"], "settings": []}, "x")


def test_a_list_of_something_else_is_refused():
    with pytest.raises(DataError):
        build(Sample, {"number": 1, "names": [1, 2]}, "f.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", r"x\.yaml:3: this is not YAML"),
        ("- a\n", r"x\.yaml: a mapping of settings is expected"),
        ("", r"x\.yaml: a mapping of settings is expected"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_yaml(tmp_path / "x.yaml")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"there is no such file"):
        read_yaml(tmp_path / "x.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"x\.yaml"):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("name", ["beta", "epochs", "lr", "batch_size", "grad_accum", "max_length", "r", "alpha"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_training_setting_that_must_be_above_0_is(name, value):
    with pytest.raises(UsageError, match=f"{name} must be above 0"):
        TrainConfig("INFP", **{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pairs": 0}, "pairs must be at least 1, not 0"),
        ({"warmup": 1}, "warmup is a share of the steps"),
        ({"warmup": -0.1}, "warmup is a share of the steps"),
        ({"precision": "float8"}, "There is no precision 'float8'. Known: auto, float32, bfloat16"),
    ],
)
def test_training_settings_outside_their_range_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig("INFP", **values)


@pytest.mark.parametrize("name", ["lr", "beta", "epochs"])
def test_an_infinite_training_setting_is_refused(name):
    with pytest.raises(UsageError, match=name):
        TrainConfig("INFP", **{name: float("inf")})


def test_a_training_block_is_read_with_the_nearest_key_offered():
    config = TrainConfig.from_dict({"persona": "INFP", "lr": "2e-4", "epochs": 3})
    assert (config.lr, config.epochs, config.base) == (2e-4, 3.0, "smollm2")
    with pytest.raises(DataError, match=r"here: There is no setting 'epoch'. Did you mean epochs"):
        TrainConfig.from_dict({"persona": "INFP", "epoch": 3}, "here")


EXPERIMENT = """
name: test
out: runs/test
personas: [infp, ESTJ]
train: {pairs: 8, lr: 1e-4}
evaluate: {tasks: [mbti, situations], limit: 4}
"""


def write_experiment(tmp_path, old="", new=""):
    assert old in EXPERIMENT
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT.replace(old, new))
    return path


def test_an_experiment_is_read_whole(tmp_path):
    experiment, trains, evaluation = read_experiment(write_experiment(tmp_path))
    assert (experiment.name, experiment.out, experiment.base) == ("test", "runs/test", "smollm2")
    assert [(t.persona, t.pairs, t.lr) for t in trains] == [("INFP", 8, 1e-4), ("ESTJ", 8, 1e-4)]
    assert (evaluation.tasks, evaluation.limit) == (["mbti", "situations"], 4)
    assert evaluation.arms is None  # all that can be made


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_example_is_read(path):
    experiment, trains, evaluation = read_experiment(path)
    assert experiment.name
    assert trains
    assert evaluation.tasks


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("personas: [infp, ESTJ]", "", DataError, "the setting 'personas' is missing"),
        ("[infp, ESTJ]", "[]", DataError, "personas: name at least one"),
        ("[infp, ESTJ]", "[INPF]", UnknownNameError, "no persona 'INPF'. Did you mean"),
        (
            "pairs: 8",
            "pears: 8",
            DataError,
            r"experiment\.yaml: train: There is no setting 'pears'. Did you mean",
        ),
        ("pairs: 8", "base: x", DataError, "train: base belongs one level up"),
        ("pairs: 8", "beta: -1", UsageError, "beta must be above 0"),
        ("[mbti, situations]", "[]", DataError, "evaluate: tasks: name at least one"),
        ("limit: 4", "limmit: 4", DataError, r"evaluate: There is no setting 'limmit'. Did you mean limit"),
    ],
)
def test_a_wrong_experiment_is_refused_by_file_and_key(tmp_path, old, new, error, message):
    with pytest.raises(error, match=message):
        read_experiment(write_experiment(tmp_path, old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit: 4", "arms: [base, adaptor]"),
        ("limit: 4", "executor: nobody"),
        ("limit: 4", "dtype: float31"),
        ("limit: 4", "limit: 0"),
        ("pairs: 8", "trainer: nobody"),
        ("pairs: 8", "generator: nobody"),
    ],
)
def test_what_evaluation_would_refuse_is_refused_before_training(tmp_path, old, new):
    with pytest.raises(LapdError):
        read_experiment(write_experiment(tmp_path, old, new))


def test_an_experiment_trains_its_controls_beside_each_persona(tmp_path):
    _, trains, _ = read_experiment(
        write_experiment(tmp_path, "personas: [infp, ESTJ]", "personas: [infp]\ncontrols: [shuffled, opposite]")
    )
    assert [config.name for config in trains] == ["INFP", "shuffled-INFP", "opposite-INFP"]
    with pytest.raises(UsageError, match="There is no control 'random'"):
        read_experiment(write_experiment(tmp_path, "personas: [infp, ESTJ]", "personas: [infp]\ncontrols: [random]"))
