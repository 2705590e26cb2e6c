"""What tests of plugins need: a tiny model made on the spot, a run on it, a server that fails on a script, assertions.

It works with pytest and without it. torch, transformers and lm_eval are imported inside the functions that need them.
"""

from lapd.testing.fault_server import FaultServer
from lapd.testing.generators import assert_generator
from lapd.testing.graders import assert_grader
from lapd.testing.judges import assert_judge
from lapd.testing.packs import assert_pack
from lapd.testing.tasks import assert_tasks
from lapd.testing.tiny import make_tiny_adapter, make_tiny_base, make_tiny_run, some_pairs
from lapd.testing.trainers import assert_trainer

__all__ = [
    "FaultServer",
    "assert_generator",
    "assert_grader",
    "assert_judge",
    "assert_pack",
    "assert_tasks",
    "assert_trainer",
    "make_tiny_adapter",
    "make_tiny_base",
    "make_tiny_run",
    "some_pairs",
]
