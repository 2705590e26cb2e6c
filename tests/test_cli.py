"""The command line: help that is instant, answers that are right, errors that are one line and an exit code."""

import json
import os
from collections import Counter

import pytest
from conftest import ROOT, listing, run_python
from lapd.data import mbti

from lapd.cli import VERBS, cli
from lapd.files.whole import read_jsonl, write_json
from lapd.models.base import resolve_base

AXES = mbti().ends

HEAVY = {"torch", "transformers", "numpy", "lm_eval", "trl", "peft", "datasets", "scipy", "matplotlib"}


def fails(result, code, *parts):
    """The result is an error of this exit code, told in one line that holds `parts`."""
    stderr = result.stderr
    exit_code = result.exit_code if hasattr(result, "exit_code") else result.returncode
    assert exit_code == code, stderr
    assert "Traceback" not in stderr
    assert stderr.startswith("Error: ")
    assert stderr.count("\n") == 1
    assert result.stdout == ""
    for part in parts:
        assert str(part) in stderr


# Help


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom lapd.cli import cli\ntry:\n    cli(['--help'])\nexcept SystemExit as end:\n"
        "    print(end.code, sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = run_python(code)
    assert done.stderr.startswith("0 ")
    loaded = set(eval(done.stderr[2:]))
    assert {"lapd", "click"} <= loaded
    assert not loaded & HEAVY


def test_help_loads_none_of_our_own_plugins():
    code = (
        "import sys\nfrom lapd.cli import cli\ntry:\n    cli(['--help'])\nexcept SystemExit as end:\n"
        "    print(end.code, [m for m in sys.modules if m.startswith('lapd.plugins.')], file=sys.stderr)"
    )
    assert run_python(code).stderr.strip() == "0 []"


def test_help_is_instant(lapd):
    def seconds():
        """Of work: how long it takes depends on what else the machine does."""
        before = os.times()
        assert lapd("--help").returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(5)) < 0.3


def test_help_lists_every_verb(invoke):
    result = invoke("--help")
    assert result.exit_code == 0
    assert invoke("-h").stdout == result.stdout
    for verb, what in VERBS.items():
        assert f"  {verb}" in result.stdout
        assert what in result.stdout


def test_a_file_a_verb():
    files = {path.stem.removesuffix("_command") for path in (ROOT / "lapd" / "cli").glob("*_command.py")}
    assert files == {verb.replace("-", "_") for verb in VERBS}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_has_help(invoke, verb):
    result = invoke(verb, "--help")
    assert result.exit_code == 0
    assert f"Usage: lapd {verb}" in result.stdout
    for parameter in cli.get_command(None, verb).params:
        if parameter.param_type_name == "option":
            assert parameter.help


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_an_example(invoke, verb):
    lines = invoke(verb, "--help").stdout.splitlines()
    assert any(line.strip().startswith(f"lapd {verb}") for line in lines)


def test_the_version_is_shown(invoke):
    import lapd

    assert invoke("--version").stdout == f"lapd, version {lapd.__version__}\n"


# Wrong calls


def test_an_unknown_verb_exits_2_and_offers_the_nearest(lapd):
    done = lapd("generat")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "Usage: lapd [OPTIONS] COMMAND [ARGS]..."
    assert done.stderr.splitlines()[-1] == "Error: No such command 'generat'. Did you mean 'generate'?"
    assert "Did you mean" not in lapd("qqqqq").stderr


@pytest.mark.parametrize(
    "args",
    [
        ["train"],
        ["generate", "INFP"],
        ["generate", "INFP", "-o", "x", "--pairs", "0"],
        ["eval"],
        ["eval", "--tasks", "mbti", "--limit", "0"],
        ["eval", "--tasks", "mbti", "--dtype", "float8"],
        ["train", "INFP", "--nonsense"],
        ["train", "INFP", "--lr", "fast"],
        ["chat", "--temperature", "-1"],
    ],
)
def test_a_call_that_click_refuses_exits_2_with_the_usage_line(invoke, args):
    result = invoke(*args)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Usage: lapd {args[0]}")
    assert f"Try 'lapd {args[0]}" in result.stderr


def test_a_wrong_name_exits_2_in_one_line(lapd):
    fails(lapd("personas", "INPF"), 2, "There is no persona 'INPF'. Did you mean", "INFP")


def test_a_wrong_file_exits_1_in_one_line(lapd, tmp_path):
    fails(lapd("run", tmp_path / "gone.yaml"), 1, "gone.yaml: there is no such file")


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["train", "INPF"], ["no persona 'INPF'"]),
        (["generate", "INPF", "-o", "x"], ["no persona 'INPF'"]),
        (["generate", "INFP", "-o", "x", "--generator", "contrats"], ["no generator 'contrats'. Did you mean"]),
        (["train", "INFP", "--trainer", "trll"], ["no trainer 'trll'", "Did you mean trl", "Known: steering, trl"]),
        (["train", "INFP", "--beta", "0"], ["beta must be above 0"]),
        (["train", "INFP", "--pairs", "0"], ["pairs must be at least 1"]),
        (["train", "INFP", "--base", "nothing"], ["no base model 'nothing'", "a folder, or a Hugging Face id"]),
        (["eval", "--tasks", "mbti", "--base", "./nowhere"], ["no base model './nowhere'"]),
        (["eval", "--tasks", "mbti", "--arms", "base,adaptor"], ["no arm 'adaptor'", "Known: base"]),
        (["eval", "--tasks", "mbti", "--persona", "INPF"], ["no persona 'INPF'"]),
        (["eval", "--tasks", "mbti", "--adapter", "none/*"], ["No adapter folder matches 'none/*'"]),
        (["generate", "INFP", "-o", "."], [". is a folder", "Give -o a file"]),
    ],
)  # fmt: skip
def test_a_wrong_argument_exits_2_in_one_line(invoke, tmp_path, monkeypatch, args, parts):
    monkeypatch.chdir(tmp_path)
    fails(invoke(*args), 2, *parts)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("args", [["--tasks", "mbti", "--arms", "adapter"], ["--tasks", ","]])
def test_an_evaluation_of_nothing_exits_2_in_one_line(invoke, base_folder, tmp_path, args):
    fails(invoke("eval", "--base", base_folder, "-o", tmp_path / "run", *args), 2)


@pytest.mark.parametrize("verb", ["compare", "report"])
def test_a_folder_that_is_no_run_exits_1_in_one_line(invoke, tmp_path, verb):
    fails(invoke(verb, tmp_path), 1, tmp_path, "is no run folder")
    fails(invoke(verb, tmp_path / "gone"), 1, "gone is no run folder")


@pytest.mark.parametrize("verb", ["compare", "report", "eval"])
def test_a_run_of_a_newer_version_exits_1_in_one_line(invoke, tmp_path, base_folder, verb):
    run = tmp_path / "run"
    write_json(run / "run.json", {"schema": "lapd.run/2"})
    args = [verb, run] if verb != "eval" else ["eval", "--base", base_folder, "--tasks", "situations", "-o", run]
    fails(invoke(*args), 1, "run.json: written by a newer LAPD (lapd.run/2; this one reads lapd.run/1). Upgrade lapd.")
    assert set(listing(run)) <= {"run.json", ".lock"}


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("name: [x\n", 1, "x.yaml:2: this is not YAML"),
        ("name: x\n", 1, "x.yaml: the setting 'out' is missing"),
        ("name: x\nout: x\npersonas: [XXXX]\nevaluate: {tasks: [mbti]}\n", 2, "There is no persona 'XXXX'"),
    ],
)
def test_a_wrong_experiment_is_refused_in_one_line(invoke, tmp_path, text, code, part):
    (tmp_path / "x.yaml").write_text(text)
    fails(invoke("run", tmp_path / "x.yaml"), code, part)
    assert listing(tmp_path) == ["x.yaml"]


@pytest.mark.parametrize("args", [["run", "{folder}"], ["train", "INFP", "--base", "{base}", "--dataset", "{folder}"]])
def test_a_folder_where_a_file_is_wanted_is_refused_in_one_line(invoke, base_folder, tmp_path, args):
    folder = tmp_path / "folder"
    folder.mkdir()
    fails(invoke(*(a.format(folder=folder, base=base_folder) for a in args)), 1)


# Adapters


def test_a_folder_that_is_no_adapter_exits_1_in_one_line(invoke, tmp_path, make_adapter):
    evaluate = ["eval", "--tasks", "mbti", "--adapter"]
    fails(invoke(*evaluate, tmp_path / "gone"), 1, "gone: there is no such adapter folder", "`lapd train` makes one")
    fails(invoke(*evaluate, tmp_path), 1, "is no adapter: it lacks adapter_config.json or adapter_model")
    fails(invoke("chat", tmp_path), 1, "is no adapter")
    half = make_adapter("half")
    (half / "adapter_model.safetensors").unlink()
    fails(invoke(*evaluate, half), 1, "half is no adapter")


def test_an_adapter_of_another_base_is_refused_before_anything_is_written(invoke, tmp_path, base_folder, make_adapter):
    adapter = make_adapter("INFP", base_digest="e" * 64)
    run = tmp_path / "run"
    result = invoke("eval", "--adapter", adapter, "--base", base_folder, "--tasks", "situations", "-o", run)
    digest = resolve_base(str(base_folder)).digest[:12]
    fails(
        result, 1, "Adapter INFP was trained on fake (digest eeeeeeeeeeee)", f"not on {base_folder} (digest {digest})"
    )
    assert not run.exists()
    fails(invoke("chat", adapter, "--base", base_folder), 1, "Adapter INFP was trained on fake")


def test_an_adapter_of_a_newer_version_is_refused(invoke, make_adapter):
    adapter = make_adapter("INFP", schema="lapd.run_card/2")
    fails(invoke("eval", "--adapter", adapter, "--tasks", "mbti"), 1, "run_card.json: written by a newer LAPD")


def test_a_pattern_leaves_out_what_is_no_adapter_and_two_of_one_name_are_refused(invoke, make_adapter, tmp_path):
    make_adapter("a/INFP", persona=None)
    make_adapter("b/INFP", persona=None)
    make_adapter("b/ESTJ")
    (tmp_path / "adapters" / "b" / "notes").mkdir()
    found = invoke("eval", "--adapter", tmp_path / "adapters" / "*" / "*", "--tasks", "mbti")
    fails(found, 2, "Two adapters are called 'INFP'. Rename one of the folders.")


def test_adapters_of_different_bases_are_refused(invoke, make_adapter):
    one, two = make_adapter("one"), make_adapter("two", card=False)
    (two / "adapter_config.json").write_text('{"base_model_name_or_path": "other/model"}')
    result = invoke("eval", "--adapter", one, "--adapter", two, "--tasks", "mbti")
    fails(result, 2, "The adapters have different bases (fake, other/model). Evaluate them apart.")


# Output that cannot be written


def evaluation_into(run, base_folder):
    return ["eval", "--base", base_folder, "--tasks", "situations", "--arms", "base", "-o", run]


def test_an_output_folder_that_is_a_file_is_refused_in_one_line(invoke, base_folder, tmp_path):
    (tmp_path / "file").touch()
    fails(invoke(*evaluation_into(tmp_path / "file", base_folder)), 2, "file is a file, not a folder")
    result = invoke(*evaluation_into(tmp_path / "file" / "run", base_folder))
    fails(result, 1, "A part of this path is a file. Give another path with -o.")


AS_ROOT = os.geteuid() == 0  # who may not write to /proc anyway meets another error, which is handled


def test_an_output_folder_on_a_system_that_takes_none_is_refused_in_one_line(invoke, base_folder):
    fails(invoke(*evaluation_into("/proc/lapd-test", base_folder)), 1, "/proc/lapd-test")


def test_pairs_below_a_file_are_refused_in_one_line(invoke, tmp_path):
    (tmp_path / "file").touch()
    fails(invoke("generate", "INFP", "-o", tmp_path / "file" / "pairs.jsonl"), 1)


@pytest.mark.parametrize("out", ["/proc/pairs.jsonl", "/proc/lapd-test/pairs.jsonl"])
def test_pairs_where_no_file_can_be_made_are_refused_in_one_line(invoke, out):
    fails(invoke("generate", "INFP", "-o", out), 1)


def test_a_read_only_output_folder_is_refused_in_one_line(invoke, base_folder, tmp_path):
    if AS_ROOT:
        pytest.skip("root may write anywhere")
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    fails(invoke(*evaluation_into(folder / "run", base_folder)), 1, "Permission denied. Give another output folder")
    fails(invoke("generate", "INFP", "-o", folder / "pairs.jsonl"), 1, "Permission denied")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        ("ENOSPC", "The disk is full. Free some space; the same command then goes on."),
        ("EDQUOT", "The disk quota is used up."),
        ("EROFS", "This is read-only. Give another path with -o."),
    ],
)
def test_a_disk_that_gives_out_is_told_in_one_line(invoke, tmp_path, monkeypatch, number, advice):
    import errno

    def fail(path, rows):
        raise OSError(getattr(errno, number), "x", str(path))

    monkeypatch.setattr("lapd.pairs.pair.write_jsonl", fail)  # no disk is full on demand without being root
    fails(invoke("generate", "INFP", "-o", tmp_path / "p.jsonl"), 1, f"{tmp_path / 'p.jsonl'}: {advice}")


def test_other_errors_are_not_hidden(monkeypatch):
    from click.testing import CliRunner

    def fail(code):
        raise ValueError("a mistake of LAPD's own")

    monkeypatch.setattr("lapd.cli.personas_command.get_persona", fail)
    assert isinstance(CliRunner().invoke(cli, ["personas", "INFP"]).exception, ValueError)


def test_a_reader_that_stops_early_is_no_error():
    import subprocess
    import sys

    command = f"{sys.executable} -c 'from lapd.cli import main; main()' personas --json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[\n", "")


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def test_ctrl_c_ends_with_one_line_that_says_what_is_kept(invoke, monkeypatch, base_folder):
    monkeypatch.setattr("lapd.train.training.train_adapter", interrupt)
    result = invoke("train", "INFP", "--base", base_folder)
    assert result.exit_code == 130
    assert result.stderr == "\nStopped. What is finished is kept: the same command goes on from there.\n"
    monkeypatch.setattr("lapd.cli.personas_command.get_persona", interrupt)
    result = invoke("personas", "INFP")
    assert (result.exit_code, result.stderr) == (130, "\nStopped.\n")


def test_debugging_shows_the_traceback(lapd):
    done = lapd("personas", "XXXX", env={"LAPD_DEBUG": "1"})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "UnknownNameError" in done.stderr


# What the verbs say


def test_personas_are_listed_and_shown(invoke):
    table = invoke("personas").stdout.splitlines()
    assert len(table) == 17
    assert table[0].split() == ["code", "name"]
    personas = json.loads(invoke("personas", "--json").stdout)
    assert len(personas) == 16
    assert set(personas[0]) == {"code", "name", "poles", "description", "system_prompt"}
    one = json.loads(invoke("personas", "infp", "--json").stdout)
    assert one in personas
    text = invoke("personas", "infp").stdout
    assert text.startswith(f"INFP, {one['name']}\n")
    assert one["description"] in text
    assert one["system_prompt"] in text


def test_plugins_are_listed(invoke):
    infos = {info["name"]: info for info in json.loads(invoke("plugins", "--json").stdout)}
    assert {"contrast", "local", "traits", "tasks", "trl"} <= set(infos)
    table = invoke("plugins").stdout.splitlines()
    assert table[0].split() == ["plugin", "version", "package", "registers"]
    assert len(table) == len(infos) + 1
    (line,) = [line for line in table if line.startswith("traits ")]
    assert line.endswith("traits: mbti")


def test_tasks_are_listed(invoke):
    rows = {row["task"]: row for row in json.loads(invoke("tasks", "--json").stdout)}
    assert {"mbti", "situations", "situations_open", "socialiqa", "socialiqa_mini"} <= set(rows)
    assert list(rows) == sorted(rows)
    assert rows["socialiqa"]["needs_data"] == "socialiqa"
    assert rows["mbti"]["needs_data"] is None
    assert "agreement_EI" in rows["mbti"]["metrics"]
    table, _, groups = invoke("tasks").stdout.partition("\n\n")
    assert len(table.splitlines()) == len(rows) + 1
    listed = {line.split()[0]: line.split(maxsplit=1)[1].split(", ") for line in groups.splitlines()[1:]}
    assert "situations" in listed["lapd_trait"]
    assert set(listed["lapd_trait"]) <= {name for name, row in rows.items() if row["side"] == "trait"}
    assert "--data-dir or Hub: socialiqa" in table


def test_the_tasks_folder_is_printed_for_lm_eval(invoke):
    assert invoke("tasks", "--path").stdout == f"{ROOT / 'tasks'}\n"


def generated(invoke, path, *args):
    result = invoke("generate", *args, "-o", path)
    assert result.exit_code == 0, result.stderr
    return [row for _, row in read_jsonl(path)]


def test_generated_pairs_depend_on_the_seed_alone(invoke, tmp_path):
    one = generated(invoke, tmp_path / "1", "INFP", "--seed", 3, "--pairs", 40)
    generated(invoke, tmp_path / "2", "INFP", "--seed", 3, "--pairs", 40)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    other = generated(invoke, tmp_path / "3", "INFP", "--seed", 4, "--pairs", 40)
    assert {row["prompt"] for row in one} != {row["prompt"] for row in other}
    assert generated(invoke, tmp_path / "4", "INFP", "--seed", 3, "--pairs", 20) == one[:20]


def test_any_number_of_pairs_is_spread_over_the_axes(invoke, tmp_path):
    for count in (1, 4, 10, 399):
        rows = generated(invoke, tmp_path / "p", "INFP", "--pairs", count)
        spread = Counter(row["source"]["axis"] for row in rows)
        assert sum(spread.values()) == count
        assert max(spread.values()) - min(spread[axis] for axis in AXES) <= 1
    whole = generated(invoke, tmp_path / "p", "INFP")
    assert Counter(row["source"]["axis"] for row in whole) == dict.fromkeys(AXES, 100)
    assert len({row["prompt"] for row in whole}) == 400


def test_the_opposite_type_gets_the_same_pairs_turned_round(invoke, tmp_path):
    ours = generated(invoke, tmp_path / "a", "INFP", "--pairs", 50)
    theirs = generated(invoke, tmp_path / "b", "estj", "--pairs", 50)
    assert [(r["prompt"], r["chosen"], r["rejected"]) for r in ours] == [
        (r["prompt"], r["rejected"], r["chosen"]) for r in theirs
    ]
    assert all(row["source"]["chosen_pole"] in "INFP" for row in ours)


def test_generate_says_what_it_wrote(invoke, tmp_path):
    out = tmp_path / "deep" / "pairs.jsonl"
    assert invoke("generate", "infp", "-o", out, "--pairs", 5).stdout == f"5 pairs for INFP in {out}.\n"
    record = json.loads(invoke("generate", "infp", "-o", out, "--pairs", 5, "--json").stdout)
    assert (record["persona"], record["pairs"], record["file"]) == ("INFP", 5, str(out))
    assert len(record["digest"]) == 64


def test_a_generator_without_pairs_for_a_persona_is_an_error(lapd, make_distribution, tmp_path):
    source = (
        "from lapd import Persona, hookimpl\n@hookimpl\ndef lapd_register_personas(register):\n"
        "    register(Persona('PIRATE', 'x', {}, 'x', 'x'))\n"
    )
    site = make_distribution("pirate", source)
    done = lapd("generate", "PIRATE", "-o", tmp_path / "p.jsonl", env={"PYTHONPATH": str(site)})
    fails(done, 1, "no pairs for PIRATE")


@pytest.mark.slow
def test_doctor_reports_and_its_exit_code_follows(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "deep" / "cache"))
    (tmp_path / "data" / "socialiqa").mkdir(parents=True)
    monkeypatch.setenv("LAPD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = invoke("doctor", "--json")
    findings = {f["name"]: f for f in json.loads(result.stdout)}
    assert {"Python", "torch", "transformers", "lm-eval", "CUDA", "embedded model", "disk"} <= set(findings)
    assert result.exit_code == any(f["needed"] and not f["ok"] for f in findings.values())
    assert findings["torch"]["ok"]
    assert findings["data: socialiqa"]["found"] == str(tmp_path / "data" / "socialiqa")
    assert not findings["OPENAI_API_KEY"]["ok"]
    assert all(f["remedy"] for f in findings.values() if not f["ok"])
    assert all("\n" not in f["found"] + f["remedy"] for f in findings.values())
    table = invoke("doctor").stdout.splitlines()
    assert len(table) == len(findings) + 1


@pytest.mark.slow
def test_doctor_names_a_missing_package_and_exits_1(invoke, monkeypatch):
    from importlib import metadata

    version = metadata.version

    def without_peft(name):
        if name == "peft":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("importlib.metadata.version", without_peft)
    result = invoke("doctor")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("MISSING")]
    assert "peft" in line
    assert "pip install" in line
