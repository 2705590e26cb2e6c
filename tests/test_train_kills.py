"""`kill -9` at 30 random moments: the same command goes on, and ends in the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from lapd.testing import make_tiny_base

pytestmark = pytest.mark.slow


@pytest.mark.thorough
def test_thirty_kills_at_random_moments_do_not_change_the_weights(tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/train_kills.py", "--base", base, "--fork", "--json", "--kills", "30"],
        capture_output=True,
        text=True,
        # One thread: a fork of a process whose thread pool has started would wait for threads that are not there.
        env={**os.environ, "OMP_NUM_THREADS": "1", "LAPD_CACHE": str(tmp_path / "cache")},
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["kills"], result["different"]) == (30, 0)
    assert result["trainings"] > 1
    # They hit the training at all its stages, not only its beginning.
    assert len(set(result["newest_checkpoint_at_each_kill"])) >= 3
