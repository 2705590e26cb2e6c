"""The executor `local`: one cell after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lapd.hookspecs import Executor, RunCell, Work
from lapd.pluginmanager import hookimpl


class LocalExecutor:
    name = "local"
    description = "one cell after another, in this process"

    def run(self, cells: Sequence[Work], run_cell: RunCell) -> None:
        for cell in cells:
            run_cell(cell)


@hookimpl
def lapd_register_executors(register: Callable[[Executor], None]) -> None:
    register(LocalExecutor())
