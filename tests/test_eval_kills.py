"""`kill -9` at 50 random moments of an evaluation: the same command goes on, and ends in the same store."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.thorough
def test_fifty_kills_at_random_moments_lose_nothing_and_repeat_nothing() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/eval_kills.py", "--json", "--kills", "50"],
        capture_output=True,
        text=True,
        # One thread: a fork of a process whose thread pool has started would wait for threads that are not there.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=1200,
    )
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert (result["kills"], result["different"], result["computed_twice"]) == (50, 0, 0)
    assert result["evaluations"] > 1
    # They hit the evaluation at all its stages, not only its beginning.
    assert len(set(result["batches_finished_at_each_kill"])) >= 10
