"""Registers LAPD's own benchmarks."""

from collections.abc import Callable

from lapd.tasks import FOLDER

from lapd.hookspecs import TaskFolder
from lapd.pluginmanager import hookimpl

TOPICS = {
    "beavertails": "safe",
    **dict.fromkeys(("socialiqa", "socialiqa_gen", "socialiqa_mini", "socialiqa_mini_gen"), "social"),
    **dict.fromkeys(("eqbench", "eqbench_revised"), "social"),
}
"""What its primary metric tells of, of each task whose question a reader of the report comes with."""

REFUSALS = {"overrefusal": {"prompt": "prompt", "metric": "refused_{kind}"}}
"""Whose answers a judge may tell refusals among; here, so that their cells stay what they were without a judge."""


@hookimpl
def lapd_register_tasks(register: Callable[[TaskFolder], None]) -> None:
    register(TaskFolder("lapd", FOLDER, TOPICS, REFUSALS))
