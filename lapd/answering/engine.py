"""One worker: a model that is got ready once, and cells run on it one after another.

lm-eval does the prompting, the chat template and the metrics; it is given one live model, on which the adapter is
switched between cells. `lapd.answering.subjects` has what that model can be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lapd._version import __version__
from lapd.catalog.live import no_bars_of_its_own
from lapd.errors import LapdError, ModelError, first_line
from lapd.evaluate.cells import Arm, Cell
from lapd.evaluate.endings import asked_without, finish_reasons
from lapd.evaluate.journal import Journal
from lapd.evaluate.provenance import inputs, provenance, utc, work
from lapd.evaluate.store import RESULT_SCHEMA, Store
from lapd.evaluate.verdicts import keep_verdicts
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import write_json, write_jsonl
from lapd.judges.choosing import use_judge
from lapd.judges.judge import describe_judge
from lapd.models.adapters import Adapter
from lapd.models.base import BaseModel

BATCH_SIZE = 32


class Engine:
    """Runs cells of one base model.

    Args:
        base: the base model.
        adapters: all adapters that any cell needs.
        dtype: a torch dtype's name.
        data_dir: a folder with benchmark data, for tasks that need it.
        batch_size: rows (contexts) computed at once.
        questionnaire: somebody else's questionnaire, for tasks that take one.
        quiet: show no progress of judging.

    Raises:
        ModelError: a model cannot be loaded, or an adapter belongs to another base or changes nothing.
    """

    def __init__(
        self,
        base: BaseModel,
        adapters: Sequence[Adapter],
        dtype: str = "float32",
        data_dir: str | None = None,
        batch_size: int = BATCH_SIZE,
        questionnaire: str | None = None,
        quiet: bool = False,
    ) -> None:
        with quiet_libraries():
            from lapd.answering.subjects import open_subject

            self.subject = open_subject(base, adapters, dtype, batch_size)
        self.lm = self.subject.lm
        self.base, self.data_dir, self.questionnaire, self.quiet = base, data_dir, questionnaire, quiet
        self._managers: dict[Path | None, Any] = {}
        self._tasks: dict[str, Any] = {}

    def work(self, cell: Cell) -> int:
        """How much computing the cell is, in tokens; for progress bars."""
        self.lm.fold_system_prompt = cell.folds
        with quiet_libraries(), no_bars_of_its_own():
            task = self._task(cell)
            task.build_all_requests(
                limit=cell.settings.limit,
                rank=0,
                world_size=1,
                system_instruction=cell.arm.persona.system_prompt if cell.arm.persona else None,
                apply_chat_template=self.subject.chat,
                chat_template=self.lm.apply_chat_template if self.subject.chat else None,
                tokenizer_name=self.lm.tokenizer_name if self.subject.chat else "",
            )
            return self.lm.work(task.instances)

    def run(self, cell: Cell, store: Store, on_progress: Callable[[int], None] = lambda n: None) -> None:
        """Evaluate one cell and write its result; work that a killed process left in its journal is not repeated.

        Raises:
            ModelError: the model's chat template drops the system prompt.
            LapdError: lm-eval failed on the task.
        """
        folder = store.cell_folder(cell.name)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "cell.json", {"label": cell.label(), **cell.identity()})
        self.subject.count_into(store.folder)
        self.subject.switch(cell.arm.adapter)
        self.lm.fold_system_prompt = cell.folds
        self._check_prompt(cell.arm)
        started, tokens = time.time(), 0

        def progressed(work: int) -> None:
            nonlocal tokens
            tokens += work
            on_progress(work)

        # Batches are what they were only for the same batch size and the same way of making them.
        plan = f"lapd {__version__}, layout {self.lm.layout}, batches of {self.lm.batch_size}"
        with Journal(folder / "journal.jsonl", plan) as journal:
            self.lm.journal, self.lm.on_progress = journal, progressed
            try:
                with use_judge(cell.judge, self.quiet):
                    outcome = self._evaluate(cell)
            finally:
                self.lm.journal = None
        name = cell.task.name
        samples = [_sample(row, cell.task.item) for row in outcome["samples"][name]]
        write_jsonl(folder / "samples.jsonl", samples)
        if cell.judge:
            verdicts = [row["filtered_resps"][0] for row in outcome["samples"][name]]
            keep_verdicts(folder, cell.judge, samples, verdicts)
        result = {
            "schema": RESULT_SCHEMA,
            "cell": cell.identity(),
            "arm": cell.arm.name,
            "metrics": _metrics(outcome["results"][name]),
            "n_documents": len(samples),
            **({"judge": describe_judge(cell.judge)} if cell.judge else {}),
            "packed": self.lm.packs,
            **asked_without(row["resps"] for row in outcome["samples"][name]),
            "inputs": inputs(cell, self.data_dir, self.questionnaire, int(self.lm.batch_size)),
            "provenance": provenance(cell, self.data_dir, self.questionnaire, samples)
            | {"work": work(samples, journal, tokens), "started": utc(started)},
            "finished": utc(time.time()),
            "seconds": round(time.time() - started, 1),
        }
        write_json(folder / "result.json", result)
        (folder / "journal.jsonl").unlink()

    def _evaluate(self, cell: Cell) -> dict[str, Any]:
        """lm-eval's `evaluate` on the live model. (`simple_evaluate` around it would only survey the machine.)"""
        from lm_eval.evaluator import evaluate
        from transformers import set_seed

        with quiet_libraries(), no_bars_of_its_own():
            task = self._task(cell)
            set_seed(cell.settings.seed)
            task.set_fewshot_seed(seed=cell.settings.seed)
            try:
                outcome = evaluate(
                    lm=self.lm,
                    task_dict={"tasks": {cell.task.name: task}},
                    limit=cell.settings.limit,
                    system_instruction=cell.arm.persona.system_prompt if cell.arm.persona else None,
                    apply_chat_template=self.subject.chat,
                    bootstrap_iters=0,
                )
            except (LapdError, OSError):
                raise
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise LapdError(
                    f"{cell.label()}: lm-eval failed ({reason}).", "LAPD_DEBUG=1 shows all of it."
                ) from error
        return dict(outcome)

    def _task(self, cell: Cell) -> Any:
        """The live lm-eval task, loaded once; its data may be large."""
        name = cell.task.name
        if name not in self._tasks:
            with quiet_libraries():
                self._tasks[name] = self._manager(cell.task.include_path).load([name])["tasks"][name]
        return self._tasks[name]

    def _manager(self, include_path: Path | None) -> Any:
        if include_path not in self._managers:
            from lm_eval.tasks import TaskManager

            self._managers[include_path] = TaskManager(
                include_path=str(include_path) if include_path else None,
                # lm-eval's own thousands of tasks take seconds to index, and are not needed for a registered one.
                include_defaults=include_path is None,
                metadata={
                    "tokenizer": self.subject.tokenizer,
                    "data_dir": self.data_dir,
                    "questionnaire": self.questionnaire,
                },
            )
        return self._managers[include_path]

    def _check_prompt(self, arm: Arm) -> None:
        """Refuse to lose a persona: lm-eval only warns when a chat template has no place for a system prompt."""
        if arm.persona is None or not self.subject.chat or self.lm.fold_system_prompt:
            return
        with quiet_libraries():
            dropped = self.subject.drops(arm.persona.system_prompt)
        if dropped:
            hint = (
                "Put it before the user's words with --fold-system-prompt, or leave the prompted arms out with "
                "--arms base,adapter."
            )
            raise ModelError(
                f"{self.base.name}'s chat template drops the system prompt, and {arm.name} would be no persona.", hint
            )


def _sample(row: dict[str, Any], item: str | None) -> dict[str, Any]:
    """What is kept of one document: enough to judge it, score it or read it again without generating again."""
    return {
        "doc_id": row["doc_id"],
        "item": str(row["doc"][item]) if item else str(row["doc_id"]),
        "doc": row["doc"],
        "arguments": [[a if isinstance(a, str) else dict(a) for a in args] for args in row["arguments"]],
        "responses": [[list(r) if isinstance(r, tuple) else r for r in resps] for resps in row["resps"]],
        **finish_reasons(row["resps"]),
        "metrics": {name: float(row[name]) for name in row["metrics"] if isinstance(row[name], (bool, int, float))},
    }


def _metrics(results: dict[str, Any]) -> dict[str, float]:
    """lm-eval's aggregates without its filter suffix: {"acc": 0.4, ...}; without what no document had a value for."""
    return {
        key.partition(",")[0]: float(value)
        for key, value in results.items()
        if "," in key and "_stderr" not in key and isinstance(value, (int, float)) and not math.isnan(value)
    }
