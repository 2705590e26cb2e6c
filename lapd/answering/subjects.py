"""What cells are run on: a base model loaded here with its adapters, whole models, or what a server has by name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lapd.adapters.adapter import Adapter, check_base
from lapd.adapters.kinds import check_loadable, is_plain_lora, named_tokens
from lapd.adapters.switching import prepared, switch_adapter
from lapd.adapters.whole import WholeModel
from lapd.answering.canary import check_adapters, check_finite, check_whole
from lapd.answering.coherence import Read
from lapd.answering.lm import PackedLM
from lapd.answering.rendered import CLOCK, words_of
from lapd.answering.served import ServedSubject
from lapd.catalog.task import TaskInfo
from lapd.evaluate.served import ServedModel
from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel
from lapd.models.chat import check_chat_template
from lapd.models.loading import free_memory, load_base
from lapd.packed.forward import takes_packed_rows


class Subject(Protocol):
    """A model on which the adapter can be switched.

    Attributes:
        lm: lm-eval's view of it, which keeps what it has finished in `lm.journal`; another one after a switch to a
            whole model or back, or a turn to a task of another kind.
        chat: whether it takes chats.
        tokenizer: the folder of its tokenizer, for tasks that count tokens; None where there is none at hand.
    """

    lm: Any
    chat: bool
    tokenizer: str | None

    def turn_to(self, task: TaskInfo) -> None:
        """Get ready for a task: a server is asked in one way for what is written, in another for likelihoods."""
        ...

    def switch(self, adapter: Adapter | None) -> None:
        """Switch an adapter on, or all of them off."""
        ...

    def drops(self, system_prompt: str) -> bool:
        """Whether the model would never see this system prompt."""
        ...

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Read | None] | None:
        """How likely the base finds each text behind its context; None for a server's. It leaves no adapter on."""
        ...

    def count_into(self, folder: Path) -> None:
        """Count what is asked of a server in this run folder."""
        ...

    def tell_date(self, date: str) -> None:
        """Let a chat template that asks for the date be told this one ("2026-11-25")."""
        ...


def open_subject(base: BaseModel, adapters: Sequence[Adapter], dtype: str, batch_size: int) -> Subject:
    """The base model with its adapters, checked and ready.

    Args:
        base: the base model; one that a server has is not loaded here.
        adapters: all that will be switched to, whole models included.
        dtype: a torch dtype's name.
        batch_size: rows (contexts) computed at once.

    Raises:
        ModelError: a model cannot be loaded, or an adapter belongs to another base or changes nothing.
    """
    if isinstance(base, ServedModel):
        return ServedSubject(base)
    return LoadedSubject(base, adapters, dtype, batch_size)


class LoadedSubject:
    """A base model in this process, its adapters beside it; whole models take its place one at a time."""

    def __init__(self, base: BaseModel, adapters: Sequence[Adapter], dtype: str, batch_size: int) -> None:
        beside = [adapter for adapter in adapters if not isinstance(adapter, WholeModel)]
        for adapter in adapters:
            check_base(adapter, base)
        for adapter in beside:
            check_loadable(adapter)
        self.tokenizer: str | None = str(base.path)
        self._base, self._dtype, self._batch_size = base, dtype, batch_size
        self._date: str | None = None
        self._whole: WholeModel | None = None
        model, tokenizer = self._loaded(base)
        self._base_chats = tokenizer.chat_template is not None
        self._base_logits = check_finite(model, f"The base model {base.name}")
        # Backwards, so that the first ones are at hand when their cells come.
        self._take(check_adapters(model, beside[::-1], fold=True), tokenizer)

    def _loaded(self, source: BaseModel) -> tuple[Any, Any]:
        model, tokenizer = load_base(source, self._dtype)
        if tokenizer.chat_template is not None:
            check_chat_template(tokenizer, source.name)
        return model, tokenizer

    def _take(self, model: Any, tokenizer: Any) -> None:
        """Answer with that model from now on."""
        self.model, self.chat = model, tokenizer.chat_template is not None
        with quiet_libraries():
            self.lm = PackedLM(model, tokenizer=tokenizer, batch_size=self._batch_size)
        self._packs: dict[Path | None, bool] = {None: self.lm.packs}
        if self._date:
            self.tell_date(self._date)

    def _put_in_place(self, whole: WholeModel | None) -> None:
        """Have a whole model in the base's place, or the base again; what was there is freed before it is loaded."""
        if whole == self._whole:
            return
        self.model = self.lm = None  # type: ignore[assignment]
        free_memory()
        model, tokenizer = self._loaded(whole.model if whole else self._base)
        if whole:
            if self._base_chats:
                check_chat_template(tokenizer, f"The model {whole.name}")
            check_whole(model, whole.name, self._base_logits)
        self._take(model, tokenizer)
        self._whole = whole

    def turn_to(self, task: TaskInfo) -> None:
        """Nothing: weights that are here answer every task alike."""

    def switch(self, adapter: Adapter | None) -> None:
        if isinstance(adapter, WholeModel):
            self._put_in_place(adapter)
            return
        self._put_in_place(None)
        self.model = prepared(self.model, adapter)
        switch_adapter(self.model, adapter, fold=True)
        self.lm.use(self.model, self._packs_with(adapter))

    def _packs_with(self, adapter: Adapter | None) -> bool:
        """Whether rows can be packed while that adapter is on: a prompt before each row, say, would be left out."""
        key = adapter.path if adapter else None
        if key not in self._packs:
            assert adapter
            packs = self._packs[None] and (
                is_plain_lora(adapter) or takes_packed_rows(self.model, named_tokens(adapter))
            )
            if self._packs[None] and not packs:
                what = f"With {adapter.name}, rows are not packed: scoring one continuation at a time."
                print(what, file=sys.stderr)
            self._packs[key] = packs
        return self._packs[key]

    def drops(self, system_prompt: str) -> bool:
        probe = [{"role": "system", "content": system_prompt}, {"role": "user", "content": "?"}]
        return words_of(system_prompt) not in words_of(self.lm.apply_chat_template(probe))

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Read | None] | None:
        self.switch(None)
        return self.lm.logprobs_a_token(pairs)

    def count_into(self, folder: Path) -> None:
        """Nothing: no server is asked."""

    def tell_date(self, date: str) -> None:
        self._date = date
        # Other templates are not given what they do not know: some tokenizers refuse it.
        if CLOCK in str(self.lm.tokenizer.chat_template):
            self.lm.chat_template_args[CLOCK] = datetime.fromisoformat(date).strftime
