"""One worker: a model that is got ready once, and cells run on it one after another.

lm-eval does the prompting, the chat template and the metrics; it is given one live model, on which the adapter is
switched between cells. `lapd.answering.subjects` has what that model can be.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from lapd._version import __version__
from lapd.adapters.adapter import Adapter
from lapd.adapters.whole import not_comparable
from lapd.answering.coherence import measured
from lapd.answering.documents import (
    Totals,
    forgive_aggregates,
    known_to_lm_eval,
    mean_totals,
    samples_of,
    totals_of,
)
from lapd.answering.sampling import Drawing, Sampling
from lapd.catalog.balance import drawn
from lapd.catalog.live import load_with, no_bars_of_its_own, task_manager
from lapd.catalog.task import TaskInfo
from lapd.errors import LapdError, ModelError, first_line
from lapd.evaluate.provenance import inputs, provenance, utc, work
from lapd.files.collecting import importing
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import write_json, write_jsonl
from lapd.judges.choosing import use_judge
from lapd.judges.judge import describe_judge
from lapd.models.base import BaseModel
from lapd.record.cells import Arm, Cell
from lapd.record.coherence import over_documents
from lapd.record.endings import asked_without
from lapd.record.journal import Journal
from lapd.record.store import RESULT_SCHEMA, Store
from lapd.record.verdicts import keep_verdicts

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
        date: the day that chat templates are told, such as "2026-11-25"; None for that of each rendering.

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
        date: str | None = None,
    ) -> None:
        with importing(), quiet_libraries():
            from lapd.answering.subjects import open_subject
        with quiet_libraries():
            self.subject = open_subject(base, adapters, dtype, batch_size)
        self.base, self.data_dir, self.questionnaire, self.quiet = base, data_dir, questionnaire, quiet
        self.date = date
        if date:
            self.subject.tell_date(date)
        self._managers: dict[Any, Any] = {}
        self._tasks: dict[tuple[str, str | None], Any] = {}

    @property
    def lm(self) -> Any:
        """lm-eval's view of the model that is switched on."""
        return self.subject.lm

    def work(self, cell: Cell) -> int:
        """How much computing the cell is, in tokens; for progress bars."""
        self.subject.turn_to(cell.task)
        self.lm.fold_system_prompt = cell.folds
        with quiet_libraries(), no_bars_of_its_own():
            task = self._task(cell)
            task.build_all_requests(
                **self._documents(cell, task),
                rank=0,
                world_size=1,
                system_instruction=cell.arm.persona.system_prompt if cell.arm.persona else None,
                apply_chat_template=self.subject.chat,
                chat_template=self.lm.apply_chat_template if self.subject.chat else None,
                tokenizer_name=self.lm.tokenizer_name if self.subject.chat else "",
            )
            return self.lm.work(task.instances) * cell.settings.samples

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
        self.subject.turn_to(cell.task)
        self.subject.switch(cell.arm.adapter)
        self.lm.fold_system_prompt, self.lm.called = cell.folds, f"{self.base.name}, as {cell.label()},"
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
            self.lm.sampling, packed = _sampling(cell), self.lm.packs
            try:
                with use_judge(cell.judge, self.quiet):
                    outcomes = self._evaluate(cell)
                self.lm.on_progress = None
                rows, samples, totals = self._taken_together(cell, outcomes)
                samples, unmeasured = measured(samples, self.subject, not_comparable(cell.arm.adapter))
            finally:
                self.lm.journal = self.lm.sampling = None
        if not self.quiet:
            for line in totals.lines(len(samples)):
                print(f"Warning: {cell.label()}: {line}", file=sys.stderr)
        write_jsonl(folder / "samples.jsonl", samples)
        if cell.judge:
            keep_verdicts(folder, cell.judge, samples, [row["filtered_resps"][0] for row in rows])
        result = {
            "schema": RESULT_SCHEMA,
            "cell": cell.identity(),
            "arm": cell.arm.name,
            "task_version": cell.task.version,
            "metrics": totals.metrics,
            **({"missing": totals.missing} if totals.missing else {}),
            **({"coherence": coherence} if (coherence := over_documents(samples)) else {}),
            **({"unmeasured": unmeasured} if unmeasured else {}),
            "n_documents": len(samples) // len(outcomes),
            **({"judge": describe_judge(cell.judge)} if cell.judge else {}),
            "lm_eval": known_to_lm_eval(outcomes[0], cell.task.name),
            "packed": packed,
            **asked_without(row["resps"] for row in rows),
            "inputs": inputs(cell, self.data_dir, self.questionnaire, int(self.lm.batch_size), self.date),
            "provenance": provenance(cell, self.data_dir, self.questionnaire, samples[: len(samples) // len(outcomes)])
            | {"work": work(samples, journal, tokens), "started": utc(started)},
            "finished": utc(time.time()),
            "seconds": round(time.time() - started, 1),
        }
        write_json(folder / "result.json", result)
        (folder / "journal.jsonl").unlink()

    def _taken_together(
        self, cell: Cell, outcomes: Sequence[dict[str, Any]]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Totals]:
        """lm-eval's rows, what is kept of the documents, and the totals, over everything that was drawn."""
        name, task = cell.task.name, self._task(cell)
        drawn = [outcome["samples"][name] for outcome in outcomes]
        samples = [
            {**sample, **({"sample": number} if cell.settings.temperature else {})}
            for number, rows in enumerate(drawn)
            for sample in samples_of(rows, task, cell.task.item)
        ]
        totals = [totals_of(o["results"][name], rows, task) for o, rows in zip(outcomes, drawn, strict=True)]
        return [row for rows in drawn for row in rows], samples, mean_totals(totals)

    def _evaluate(self, cell: Cell) -> list[dict[str, Any]]:
        """What lm-eval's `evaluate` makes of the live model, once for each answer that is drawn to a document.

        (`simple_evaluate` around it would only survey the machine.)
        """
        from transformers import set_seed

        number = cell.settings.samples
        lm: Any = Drawing(self.lm, number) if number > 1 else self.lm
        with quiet_libraries(), no_bars_of_its_own():
            task = self._task(cell)
            set_seed(cell.settings.seed)
            task.set_fewshot_seed(seed=cell.settings.seed)
            return [self._evaluate_once(cell, task, lm) for _ in range(number)]

    def _evaluate_once(self, cell: Cell, task: Any, lm: Any) -> dict[str, Any]:
        from lm_eval.evaluator import evaluate

        asked = self._documents(cell, task)
        try:
            outcome = evaluate(
                lm=lm,
                task_dict={"tasks": {cell.task.name: task}},
                limit=asked["limit"],
                samples=asked["samples"] and {cell.task.name: asked["samples"]},
                system_instruction=cell.arm.persona.system_prompt if cell.arm.persona else None,
                apply_chat_template=self.subject.chat,
                bootstrap_iters=0,
            )
        except (LapdError, OSError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise LapdError(f"{cell.label()}: lm-eval failed ({reason}).", "LAPD_DEBUG=1 shows all of it.") from error
        return dict(outcome)

    @staticmethod
    def _documents(cell: Cell, task: Any) -> dict[str, Any]:
        """Which documents are asked, as lm-eval takes it: the first so many, or those that are drawn, by number."""
        settings, info = cell.settings, cell.task
        if not settings.draws_items:
            return {"limit": settings.limit, "samples": None}
        assert settings.limit is not None, "it draws"
        return {"limit": None, "samples": drawn(task.eval_docs, settings.limit, info.item, settings.seed, info.name)}

    def _task(self, cell: Cell) -> Any:
        """The live lm-eval task, loaded once; its data may be large."""
        name, through = cell.task.name, cell.task.through
        if (name, through) not in self._tasks:
            for member, task in load_with(self._manager(cell.task), cell.task).items():
                forgive_aggregates(task)
                self._tasks[member, through] = task
        return self._tasks[name, through]

    def _manager(self, task: TaskInfo) -> Any:
        # One manager serves every task of a folder: indexing lm-eval's own takes seconds.
        key = task.include_path, task.traits if task.written else None, task.asked, task.through
        if key not in self._managers:
            self._managers[key] = task_manager(
                task, tokenizer=self.subject.tokenizer, data_dir=self.data_dir, questionnaire=self.questionnaire
            )
        return self._managers[key]

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


def _sampling(cell: Cell) -> Sampling | None:
    """How the cell's answers are drawn; None where its task says how they are written."""
    settings = cell.settings
    if not settings.temperature:
        return None
    return Sampling(settings.temperature, settings.top_p, settings.seed, cell.task.item)
