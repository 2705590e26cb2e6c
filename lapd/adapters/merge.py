"""Merging adapters: their weighted sum, an adapter like any other. (`lapd.adapters.bake` adds it to a base's weights.)

A LoRA adapter's update of a weight is (alpha / r) B A (Hu et al. 2021, section 4.1). With the adapters' A below each
other, and their B, each times its weight and alpha / r, beside each other, the product is the weighted sum of the
updates. Nothing is approximated; the rank is the sum of the ranks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from lapd._version import __version__
from lapd.adapters.adapter import RUN_CARD, RUN_CARD_SCHEMA, Adapter, check_base, check_unchanged, resolve_adapter
from lapd.adapters.card import model_card
from lapd.adapters.kinds import lora_config
from lapd.adapters.personas import persona_of
from lapd.errors import BaseMismatchError, ModelError, UsageError
from lapd.files.whole import atomic_folder, digest_json, read_record, write_json, write_text
from lapd.models.base import BaseModel, resolve_base
from lapd.models.intact import check_intact
from lapd.models.tokenizers import copy_tokenizer
from lapd.names import all_personas, axes, single_poles
from lapd.personas import Persona

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's `--max-lora-rank` may be (its `MaxLoRARanks`); it must not be below the adapter's rank."""


def merge_adapters(
    parts: Sequence[Adapter], out: Path, base: BaseModel | None = None, *, force: bool = False
) -> Adapter:
    """Write the sum of `parts`, each times its strength, as an adapter folder; or return the one that is there.

    Args:
        parts: adapters of one base, at the strengths that are their weights.
        out: the folder; it appears when it is whole.
        base: the base that they belong to; by default what their run cards say.
        force: replace another adapter or model of LAPD's.

    Raises:
        UsageError: an adapter is given twice, or `out` holds something else.
        BaseMismatchError: the adapters belong to different bases.
        ModelError: an adapter is no plain LoRA in safetensors, or their shapes differ.
    """
    origin = origin_of(parts, base)
    identity = merge_identity(parts, origin)
    if is_finished(parts, out, identity, force):
        return resolve_adapter(out)
    started = time.time()
    tensors, config = _sum(parts)
    with atomic_folder(out, replace=force) as folder:
        from safetensors.torch import save_file

        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        write_json(folder / "adapter_config.json", config)
        copy_tokenizer(parts[0].path, folder)
        card = merge_card(parts, origin, identity, {"r": config["r"], "alpha": config["lora_alpha"]}, started)
        write_json(folder / RUN_CARD, card)
        write_text(folder / "README.md", model_card(card))
    return resolve_adapter(out)


def vllm_rank(rank: int) -> int | None:
    """The least `--max-lora-rank` with which vLLM takes an adapter of that rank; None if it takes none so large."""
    return next((allowed for allowed in VLLM_RANKS if rank <= allowed), None)


def origin_of(parts: Sequence[Adapter], base: BaseModel | None) -> dict[str, str]:
    """The one base of all parts, as in a run card: name, digest and upstream."""
    paths = [part.path for part in parts]
    if twice := [part for part in parts if paths.count(part.path) > 1]:
        raise UsageError(f"Adapter {twice[0].name} is given twice.", "Give it once, with the sum of the weights.")
    if base:
        for part in parts:
            check_base(part, base)
        return base.origin
    origins: list[dict[str, str]] = []
    for part in parts:
        if part.card is None:
            raise UsageError(f"Adapter {part.name} has no run card that names its base.", "Give --base.")
        origins.append(part.card["base"])
    if len({o["digest"] for o in origins}) > 1 and len({o["name"] for o in origins}) == 1:
        return origin_of(parts, resolve_base(origins[0]["name"]))  # one base, perhaps under its former digest too
    for part, origin in zip(parts, origins, strict=True):
        if origin["digest"] != origins[0]["digest"]:
            raise BaseMismatchError(
                f"Adapter {part.name} was trained on {origin['name']} (digest {origin['digest'][:12]}), "
                f"{parts[0].name} on {origins[0]['name']} (digest {origins[0]['digest'][:12]}).",
                "Only adapters of one base can be added up.",
            )
    return origins[0]


def merge_identity(parts: Sequence[Adapter], origin: dict[str, str], *more: object) -> str:
    """SHA-256 over what determines the result."""
    return digest_json([origin["digest"], [[part.digest, part.strength] for part in parts], *more])


def is_finished(parts: Sequence[Adapter], out: Path, identity: str, force: bool) -> bool:
    """Whether `out` holds this very merge already.

    Raises:
        UsageError: it holds something else, which may not be replaced.
    """
    if not out.exists():
        return False
    if not (out / RUN_CARD).is_file():
        raise UsageError(f"{out} exists and is no adapter or model of LAPD's.", "Give another -o.")
    if any(out.resolve() == part.path for part in parts):
        raise UsageError(f"{out} is one of the adapters to be merged.", "Give another -o.")
    if read_record(out / RUN_CARD, RUN_CARD_SCHEMA).get("identity") == identity:
        print(f"{out} is there already, merged from the same adapters.", file=sys.stderr)
        return True
    if not force:
        raise UsageError(f"{out} holds something else.", "Give another -o, or --force to replace it.")
    return False


def _sum(parts: Sequence[Adapter]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors and the PEFT config of the weighted sum.

    Where a part has no update for a weight, zeros stand in for it: with one rank and one scale everywhere the adapter
    is one that every server takes.
    """
    import torch

    configs = [lora_config(part) for part in parts]
    factors = [_factors(part, config) for part, config in zip(parts, configs, strict=True)]
    names = sorted({name for each in factors for name in each})
    ranks = [max(a.shape[0] for a, _ in each.values()) for each in factors]
    tensors = {}
    for name in names:
        a_like, b_like = next(each[name] for each in factors if name in each)
        stacks: tuple[list[Any], list[Any]] = ([], [])
        for part, each, rank in zip(parts, factors, ranks, strict=True):
            a, b = each.get(name) or (a_like[:0], b_like[:, :0])
            if a.shape[1:] != a_like.shape[1:] or b.shape[0] != b_like.shape[0]:
                raise ModelError(f"Adapters {parts[0].name} and {part.name} differ in the shape of {name}.")
            stacks[0].append(_padded(a, 0, rank))
            stacks[1].append(_padded(b, 1, rank))
        tensors[name] = torch.cat(stacks[0], 0).contiguous()
        tensors[_b_name(name)] = torch.cat(stacks[1], 1).contiguous()
    return tensors, _config_of_sum(configs, factors, sum(ranks))


def _factors(part: Adapter, config: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By the name of A: each weight's A and B in float32, B times alpha / r and the part's strength.

    Raises:
        ModelError: the adapter is not in safetensors, or has tensors beside LoRA's two.
    """
    from peft.utils.other import get_pattern_key
    from safetensors.torch import load_file

    file = part.path / "adapter_model.safetensors"
    if not file.is_file():
        raise ModelError(f"Adapter {part.name} is not in safetensors: only such adapters can be merged.")
    check_intact([file])
    tensors = load_file(file)
    check_unchanged(part)
    names = [name for name in tensors if ".lora_A." in name or name.endswith(".lora_embedding_A")]
    if other := sorted(tensors.keys() - set(names) - set(map(_b_name, names))):
        raise ModelError(f"Adapter {part.name} has {other[0]}, which is no part of plain LoRA.")
    alphas = config.get("alpha_pattern") or {}
    factors = {}
    for name in names:
        a, b = tensors[name].float(), tensors[_b_name(name)].float()
        alpha = alphas.get(get_pattern_key(list(alphas), _module(name)), config["lora_alpha"])
        rank = a.shape[0]
        scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        factors[name] = (a, b * (scale * part.strength))
    return factors


def _b_name(name: str) -> str:
    head, _, tail = name.rpartition(".lora_A.")
    return f"{head}.lora_B.{tail}" if head else name.removesuffix("_A") + "_B"


def _module(name: str) -> str:
    """The module that an A belongs to, as PEFT's config names it."""
    return name.removeprefix("base_model.model.").partition(".lora_")[0]


def _padded(matrix: Any, dimension: int, rank: int) -> Any:
    """The matrix with zeros up to `rank` in that dimension."""
    import torch

    shape = list(matrix.shape)
    shape[dimension] = rank - shape[dimension]
    return torch.cat([matrix, matrix.new_zeros(shape)], dimension)


def _config_of_sum(configs: Sequence[dict[str, Any]], factors: Sequence[dict[str, Any]], rank: int) -> dict[str, Any]:
    """The first part's config with the sum's rank; alpha = r, since B has the scales in it."""
    config = {**configs[0], "r": rank, "lora_alpha": rank, "rank_pattern": {}, "alpha_pattern": {}}
    config |= {"use_rslora": False, "lora_dropout": 0.0, "inference_mode": True}
    names = {name for each in factors for name in each}
    if any(each.keys() != names for each in factors):
        config |= {"target_modules": sorted(map(_module, names)), "exclude_modules": None}
        config |= {"layers_to_transform": None, "layers_pattern": None}
    elif isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    return config


def merge_card(
    parts: Sequence[Adapter], origin: dict[str, str], identity: str, settings: dict[str, Any], started: float
) -> dict[str, Any]:
    cards = [part.card or {} for part in parts]
    data = [card["data"] for card in cards if "data" in card]
    poles, persona, control = _persona_of_sum(parts)
    return {
        "schema": RUN_CARD_SCHEMA,
        "identity": identity,
        "persona": persona.code if persona else None,
        "poles": poles,
        **({"persona_record": persona.record()} if persona else {}),
        "control": control,
        "base": origin,
        "merged_from": [
            {"name": part.name, "digest": part.digest, "weight": part.strength, "persona": part.persona}
            for part in parts
        ],
        "data": {
            "digest": digest_json([d["digest"] for d in data]),
            "pairs": sum(d["pairs"] for d in data),
            "sources": {"from": " + ".join(part.label for part in parts)},
        },
        "settings": settings,
        "versions": {"lapd": __version__, **{name: metadata.version(name) for name in ("torch", "peft")}},
        "log": [],
        "seconds": round(time.time() - started, 1),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _persona_of_sum(parts: Sequence[Adapter]) -> tuple[dict[str, str], Persona | None, str | None]:
    """Poles, the persona that has just these, and the control: what the sum may be said to be.

    One adapter stays what it is. Of several, those with a positive weight contribute their poles; an axis on which
    two of them differ has none. With a control adapter among them the sum is nobody's.
    """
    cards = [part.card or {} for part in parts]
    if len(parts) == 1:
        return cards[0].get("poles") or {}, persona_of(parts[0]), parts[0].control
    if any(part.control for part in parts):
        return {}, None, None
    sides: dict[str, set[str]] = {}
    for part, card in zip(parts, cards, strict=True):
        if part.strength > 0:
            for axis, pole in (card.get("poles") or {}).items():
                sides.setdefault(axis, set()).add(pole)
    poles = {axis: min(sides[axis]) for axis in _in_order(sides) if len(sides[axis]) == 1}
    carried = [persona for part in parts if (persona := persona_of(part))]
    everybody = [*all_personas().values(), *single_poles().values(), *carried]
    return poles, next((persona for persona in everybody if poles and persona.poles == poles), None), None


def _in_order(sides: Iterable[str]) -> list[str]:
    """Axes in their packs' order, those that no pack has at the end."""
    order = list(axes())
    return sorted(sides, key=lambda axis: order.index(axis) if axis in order else len(order))
