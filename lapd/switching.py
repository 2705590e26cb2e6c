"""Adapters on a live model: loading them beside it, and switching between them.

However many there are, few are held at once: each takes memory, and is read again in half a second when it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lapd.errors import ModelError, first_line
from lapd.models import Adapter

RESIDENT = 4
"""So many adapters stay loaded: an experiment's usual few are never read twice, and sixteen cost no more than these."""


def load_adapters(model: Any, adapters: Sequence[Adapter]) -> Any:
    """The model with every adapter loaded beside it, the first switched on; the bare model if there is none.

    An adapter at several strengths is loaded once.

    Raises:
        ModelError: an adapter's shape does not fit the model.
    """
    if not adapters:
        return model
    from peft import PeftModel

    first, *others = {peft_name(adapter): adapter.path for adapter in adapters}.items()
    with _fitting():
        model = PeftModel.from_pretrained(model, first[1], adapter_name=first[0])
        for name, path in others:
            model.load_adapter(path, adapter_name=name)
    switch_adapter(model, adapters[0])
    return model.eval()


def peft_name(adapter: Adapter) -> str:
    """What a loaded adapter is called inside PEFT, at whatever strength."""
    return f"{adapter.name}@{adapter.digest[:12]}".replace(".", "_")  # PEFT takes a dot for a path of modules


def switch_adapter(model: Any, adapter: Adapter | None) -> None:
    """Switch an adapter on, at its strength, or all of them off.

    Args:
        model: from `load_adapters`.
        adapter: one that is not loaded takes the place of the oldest, where there are `RESIDENT` already.

    Raises:
        ModelError: its shape does not fit the model.
    """
    if adapter is None:
        model.base_model.disable_adapter_layers()
        return
    from peft.tuners.lora import LoraLayer

    name = peft_name(adapter)
    is_new = name not in model.peft_config
    if is_new:
        with _fitting():
            model.load_adapter(adapter.path, adapter_name=name)
    model.base_model.enable_adapter_layers()
    model.set_adapter(name)
    for oldest in list(model.peft_config)[:-RESIDENT] if is_new else ():
        model.delete_adapter(oldest)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            # Set from alpha / r each time, never multiplied: no order of switching may leave a trace.
            module.set_scale(name, adapter.strength)


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"An adapter does not fit this base model: {first_line(error)}") from error
