"""The journal of finished batches: what was kept is found again, what a kill cut off is forgotten."""

import signal
import subprocess
import sys

import pytest

from lapd.models import load_base, resolve_base
from lapd.record.journal import Journal
from lapd.testing import make_tiny_base


def test_finished_batches_are_found_again(tmp_path):
    with Journal(tmp_path / "j") as journal:
        assert (journal.next_call(), journal.next_call()) == (1, 2)
        journal.put(1, 0, [[-1.25, True]])
        journal.put(2, 0, ["a\nb \u2028 성"])
        assert journal.get(1, 0) is None
    with Journal(tmp_path / "j") as journal:
        assert journal.next_call() == 1
        assert journal.get(1, 0) == [[-1.25, True]]
        assert journal.get(2, 0) == ["a\nb \u2028 성"]
        assert journal.get(1, 1) is None
        assert journal.get(0, 1) is None


def test_numbers_come_back_exactly(tmp_path):
    values = [-0.1, 1e-300, -123.45678901234567, 1 / 3, float("-inf")]
    with Journal(tmp_path / "j") as journal:
        journal.put(1, 0, values)
    with Journal(tmp_path / "j") as journal:
        assert journal.get(1, 0) == values


@pytest.mark.parametrize("cut", [1, 3, 8, 15])
def test_a_torn_last_line_is_forgotten_and_written_over(tmp_path, cut):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put(1, 0, ["first"])
        whole = path.stat().st_size
        journal.put(1, 1, ["second"])
    complete = path.read_bytes()
    path.write_bytes(complete[: -min(cut, len(complete) - whole)])
    with Journal(path) as journal:
        assert journal.get(1, 0) == ["first"]
        assert journal.get(1, 1) is None
        journal.put(1, 1, ["second"])
    assert path.read_bytes() == complete


@pytest.mark.parametrize("junk", [b"\0\0\0\0\n", b"\xff\xfe\n", b"[1]\n", b"{}\n"])
def test_nothing_behind_a_damaged_line_is_believed(tmp_path, junk):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.put(1, 0, ["first"])
    whole = path.read_bytes()
    path.write_bytes(whole + junk + whole.replace(b"0", b"1"))
    with Journal(path) as journal:
        assert journal.get(1, 0) == ["first"]
        assert journal.get(1, 1) is None
    assert path.read_bytes() == whole


def test_what_was_put_outlives_a_kill(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from lapd.record.journal import Journal\n"
        "j = Journal(Path(sys.argv[1])); j.put(1, 0, [0.5]); print('put', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "j")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"put\n"
        process.send_signal(signal.SIGKILL)
    with Journal(tmp_path / "j") as journal:
        assert journal.get(1, 0) == [0.5]


@pytest.mark.slow
def test_a_run_that_goes_on_with_another_batch_size_gives_the_same_answers(tmp_path, monkeypatch):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM

    model, tokenizer = load_base(resolve_base(str(make_tiny_base(tmp_path / "base"))))
    done = []

    def generate(lm, part, disable_tqdm=False):
        """Stands in for the writing alone; how its answers are kept is what is tested."""
        if len(done) == 2 and lm.batch_size == 2:
            raise KeyboardInterrupt
        done.append(part)
        return [f"answer to {request.args[0]}" for request in part]

    monkeypatch.setattr(HFLM, "generate_until", generate)
    sampled = {"max_gen_toks": 1, "do_sample": True, "temperature": 1.0}
    requests = [Instance("generate_until", {}, (letter, sampled), 0) for letter in "abcdefgh"]

    def answers(batch_size):
        lm = PackedLM(model, tokenizer=tokenizer, batch_size=batch_size)
        with Journal(tmp_path / "j", plan=f"batches of {batch_size}") as lm.journal:
            return lm.generate_until(requests)

    with pytest.raises(KeyboardInterrupt):
        answers(batch_size=2)
    assert answers(batch_size=4) == [f"answer to {letter}" for letter in "abcdefgh"]
