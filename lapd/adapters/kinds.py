"""What kind of adapter a folder holds, told from its files and PEFT's configuration, and what it is good for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lapd.adapters.steering import is_steering, read_steering
from lapd.errors import ModelError
from lapd.models.intact import check_intact, object_in


class Folder(Protocol):
    """What is asked of an adapter here: its name, and the folder that it lies in."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path: ...


VECTOR = "STEERING"
"""The kind of a steering vector, which is none of PEFT's."""

SCALED = ("LORA", "ADALORA", "LOHA", "LOKR", VECTOR)
"""Kinds whose update of a weight is a product times a scale, or of an output a vector, and so has a strength."""

NOT_LINEAR = {
    "use_dora": False,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "bias": "none",
    "kasa_config": None,
    "arrow_config": None,
    "monteclora_config": None,
}
"""Settings of PEFT's LoRA with which a part of the adapter does not grow with its scale, and what they are without."""

NOT_PLAIN = {
    **NOT_LINEAR,
    "target_parameters": None,
    "layer_replication": None,
    "lora_bias": False,
    "use_qalora": False,
    "use_bdlora": None,
    "alora_invocation_tokens": None,
}
"""Settings of PEFT's LoRA with which an update is more than (alpha / r) B A, and what they are in a plain one."""

ALONE = {
    "bias": "none",
    "modules_to_save": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "alora_invocation_tokens": None,
    "arrow_config": None,
    "monteclora_config": None,
}
"""Settings of PEFT's LoRA that reach beyond an adapter's own layers, and what they are where they do not."""

CONVERTIBLE = ("pissa", "olora", "corda")
REPLACING = (*CONVERTIBLE, "loftq", "lora_ga")
"""Ways to begin a LoRA training that take a part of the base's weights away, each time that PEFT loads the adapter.

PEFT itself can turn the convertible ones into plain LoRA adapters of twice the rank.
"""


def adapter_config(adapter: Folder) -> dict[str, Any]:
    """PEFT's configuration of an adapter; of a steering vector, which has none, its kind alone.

    Raises:
        ModelError: it is none.
    """
    if is_steering(adapter.path):
        return {"peft_type": VECTOR}
    return object_in(adapter.path / "adapter_config.json")


def check_loadable(adapter: Folder) -> None:
    """Refuse an adapter that cannot be loaded, or that would leave another base behind than the one that it is put on.

    Raises:
        ModelError: its weights are not whole, its kind is missing or unknown, or it changes the base's own weights.
    """
    from peft import PeftType

    if is_steering(adapter.path):
        read_steering(adapter.path)
        return
    check_intact(sorted(adapter.path.glob("adapter_model.*")))
    config = adapter_config(adapter)
    kind = config.get("peft_type")
    if kind is None:
        hint = "PEFT writes one; an adapter of another library has to be converted to PEFT's form."
        raise ModelError(f"{adapter.path / 'adapter_config.json'} has no peft_type.", hint)
    if kind not in {known.value for known in PeftType}:
        from importlib.metadata import version

        hint = f"PEFT {version('peft')} has {', '.join(sorted(known.value for known in PeftType)[:4])} and others."
        raise ModelError(f"Adapter {adapter.name} has the unknown peft_type {kind!r}.", f"{hint} Is there a newer one?")
    check_keeps_base(adapter, config)


def check_keeps_base(adapter: Folder, config: dict[str, Any]) -> None:
    """Refuse an adapter with which PEFT changes the base's own weights: the base would not be the base any more.

    Raises:
        ModelError: it is one; the message says how to convert it where that can be done.
    """
    start = str(config.get("init_lora_weights", "")).lower()
    apart = "Merge it into its base with PEFT (merge_and_unload), and evaluate that as a base of its own."
    if start.startswith(REPLACING):
        convert = (
            "Convert it with PEFT where it was trained: "
            "save_pretrained(FOLDER, path_initial_model_for_weight_conversion=FOLDER_BEFORE_TRAINING)."
        )
        message = f"Adapter {adapter.name} begins as {start!r}: PEFT changes the base's own weights when it loads it."
        raise ModelError(message, convert if start.startswith(CONVERTIBLE) else apart)
    for setting in ("layer_replication", "kasa_config"):
        if config.get(setting):
            raise ModelError(f"Adapter {adapter.name} has {setting}, which changes the base itself.", apart)


def check_scalable(adapter: Folder) -> None:
    """Refuse an adapter that has no strength: whose update does not grow in proportion to its scale.

    Raises:
        ModelError: it is one.
    """
    config = adapter_config(adapter)
    if (kind := config.get("peft_type", "LORA")) not in SCALED:
        raise ModelError(f"Adapter {adapter.name} is {kind}: it has no strength other than 1.")
    if found := _first_of(config, NOT_LINEAR):
        raise ModelError(f"Adapter {adapter.name} has {found}: it has no strength other than 1.")


def lora_config(adapter: Folder) -> dict[str, Any]:
    """The `adapter_config.json` of a plain LoRA adapter: one whose update is (alpha / r) B A and nothing else.

    Raises:
        ModelError: the adapter is of another kind, or trains more than LoRA's two matrices.
    """
    config = adapter_config(adapter)
    if (kind := config.get("peft_type", "LORA")) == VECTOR:
        hint = "Give it as it is: `lapd eval` and `lapd chat` take it at any strength, and lm-eval's --model steered."
        raise ModelError(f"Adapter {adapter.name} is a steering vector: only LoRA adapters can be merged.", hint)
    if kind != "LORA":
        raise ModelError(f"Adapter {adapter.name} is {kind}: only LoRA adapters can be merged.")
    check_keeps_base(adapter, config)
    if found := _first_of(config, NOT_PLAIN):
        raise ModelError(f"Adapter {adapter.name} has {found}; only plain LoRA can be merged.")
    return config


def is_plain_lora(adapter: Folder) -> bool:
    """Whether an adapter is one that `lora_config` takes."""
    try:
        lora_config(adapter)
    except ModelError:
        return False
    return True


def lives_beside_others(config: Mapping[str, Any]) -> bool:
    """Whether PEFT can hold an adapter of that configuration beside others that it says this of."""
    return config.get("peft_type") == "LORA" and _first_of(config, ALONE) is None


def named_tokens(adapter: Folder) -> list[int]:
    """The tokens that an adapter is only about, or that it only begins to act at; most adapters have none."""
    config = adapter_config(adapter)
    tokens: list[int] = []
    for setting in ("trainable_token_indices", "token_indices", "alora_invocation_tokens"):
        named = config.get(setting) or []
        for some in named.values() if isinstance(named, dict) else [named]:
            tokens += [token for token in some if type(token) is int]
    return tokens


def _first_of(config: Mapping[str, Any], plain: Mapping[str, Any]) -> str | None:
    """The first setting that is not as in `plain`, with its value; None where all are."""
    other = (s for s, value in plain.items() if config.get(s, value) not in (value, None, [], {}))
    return next((f"{setting}: {config[setting]}" for setting in other), None)
