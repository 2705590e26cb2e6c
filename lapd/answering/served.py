"""What a server has, as a subject of cells: each adapter is the name of a model there.

Tasks that are written go to its chats; those that are answered by log-likelihoods to its completions, rendered and
tokenized here, after a check of its numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.answering.coherence import Read
from lapd.answering.endpoint_lm import EndpointLM
from lapd.answering.rendered import CLOCK, words_of
from lapd.catalog.task import TaskInfo
from lapd.endpoints.endpoint import is_loopback
from lapd.endpoints.listing import Listed, list_models
from lapd.errors import EndpointError
from lapd.evaluate.served import ServedModel, is_scored
from lapd.models.base import resolve_base
from lapd.remote.canary import check_changes, check_server
from lapd.remote.scoring_lm import ScoringLM
from lapd.remote.tokenizer import open_tokenizer
from lapd.serving.note import served_at
from lapd.serving.vllm import HEAD, has_gpu


class ServedSubject:
    """Models behind an endpoint; each adapter is the name of one."""

    tokenizer: str | None = None
    lm: Any
    chat = True

    def __init__(self, base: ServedModel) -> None:
        self.base = base
        self.lm = self._writer = EndpointLM(base.endpoint)
        self._scorer: ScoringLM | None = None
        self._date: str | None = None
        self._drops: dict[tuple[str, str], bool] = {}
        self._checked: set[str] = set()

    def turn_to(self, task: TaskInfo) -> None:
        if not is_scored(task):
            self.lm, self.chat = self._writer, True
            return
        if self._scorer is None:
            assert self.base.tokenizer  # the plan has seen to it
            tokenizer, window = open_tokenizer(self.base.tokenizer, self.base.name)
            listed = self._listed()
            self._refuse_to_end_it(listed)
            told = next((entry.window for entry in listed if entry.name == self.base.endpoint.model), None)
            window = min(window, told or window)
            self._scorer = ScoringLM(self.base.endpoint, tokenizer, window, self._writer.spent)
            self._tell_date_to(self._scorer)
        self.lm, self.chat = self._scorer, self._scorer.tokenizer.chat_template is not None

    def _listed(self) -> list[Listed]:
        """What the server says that it has; nothing where it does not."""
        try:
            return list_models(self.base.endpoint)
        except EndpointError:
            return []  # what it lacks will be said of the requests that matter

    def _refuse_to_end_it(self, listed: Sequence[Listed]) -> None:
        """Refuse to ask a vLLM what its CPU backend ends of: it was started by hand with adapters, perhaps at the head.

        Raises:
            EndpointError: it may be one.
        """
        url = self.base.endpoint.base_url
        adapters = [entry for entry in listed if entry.parent and entry.owner == "vllm"]
        if adapters and is_loopback(url) and not has_gpu() and served_at(url) is None:
            what = f"{url}: vLLM on a processor ends when it is asked for log-likelihoods beside adapters ({HEAD})."
            hint = "Start it with `lapd serve-models`, or serve a model of `lapd merge --into-base`."
            raise EndpointError(what, hint)

    def switch(self, adapter: Adapter | None) -> None:
        name = adapter.name if adapter else self.base.endpoint.model
        self.lm.model = name
        if isinstance(self.lm, ScoringLM) and name not in self._checked:
            self._check(self.lm, name)
            self._checked.add(name)

    def _check(self, lm: ScoringLM, name: str) -> None:
        """See to it that the server's likelihoods are what they should be, once for each model."""
        base = self.base.endpoint.model
        if lm.way is None:
            lm.model = base
            self._find_way(lm)
            weights = resolve_base(self.base.weights) if self.base.weights else None
            print(f"{base} at {self.base.endpoint.base_url}: {check_server(lm, weights)}.", file=sys.stderr)
            lm.model = name
        if name != base:
            check_changes(lm, base)

    def _find_way(self, lm: ScoringLM) -> None:
        try:
            lm.find_way()
        except EndpointError as error:
            raise EndpointError(f"Log-likelihoods are asked of completions. {error}") from None

    def drops(self, system_prompt: str) -> bool:
        if isinstance(self.lm, ScoringLM):
            probe = [{"role": "system", "content": system_prompt}, {"role": "user", "content": "?"}]
            return words_of(system_prompt) not in words_of(self.lm.apply_chat_template(probe))
        key = self.lm.model, system_prompt
        if key not in self._drops:
            self._drops[key] = self.lm.drops(system_prompt)
        return self._drops[key]

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Read | None] | None:
        """Nothing: what the server has rendered is not known here."""
        return None

    def count_into(self, folder: Path) -> None:
        self._writer.count_into(folder)

    def tell_date(self, date: str) -> None:
        """For what is rendered here; the server's chats have its own date."""
        self._date = date

    def _tell_date_to(self, lm: ScoringLM) -> None:
        if self._date and CLOCK in str(lm.tokenizer.chat_template):
            lm.chat_template_args[CLOCK] = datetime.fromisoformat(self._date).strftime
