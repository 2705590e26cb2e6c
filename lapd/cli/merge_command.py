"""`lapd merge`: adapters added up, or baked into their base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lapd.cli.common import FOLDER, base_option, echo_json, json_option, traits_option

if TYPE_CHECKING:
    from lapd.adapters.adapter import Adapter

DTYPES = ("float32", "bfloat16", "float16")


@click.command()
@click.argument("adapters", nargs=-1, required=True, metavar="ADAPTER[@WEIGHT]...")
@click.option("-o", "--out", type=FOLDER, required=True, metavar="FOLDER", help="Where the result goes.")
@click.option("--into-base", is_flag=True, help="Write a whole model: the base with the adapters added to its weights.")
@base_option
@click.option("--dtype", type=click.Choice(DTYPES), help="Of the whole model.  [default: float32]")
@click.option("--gguf", is_flag=True, help="With --into-base: a GGUF file too, by llama.cpp's converter.")
@click.option("--force", is_flag=True, help="Replace another adapter or model of LAPD's in FOLDER.")
@traits_option
@json_option
def command(
    adapters: tuple[str, ...],
    out: Path,
    into_base: bool,
    base: str | None,
    dtype: str | None,
    gguf: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Add adapters up, each times its WEIGHT (-1 to 2), into one adapter; or bake them into their base.

    The sum is exact: its rank is the sum of the ranks. The same command again does nothing.

    \b
    lapd merge out/I out/N@0.8 out/F out/P -o out/sum     one adapter out of four
    lapd merge out/INFP@0.5 -o out/INFP-half              a copy at half the strength
    lapd merge out/INFP --into-base -o served/INFP        a model for any server
    """
    from lapd.adapters.adapter import base_of, resolve_adapter
    from lapd.adapters.bake import bake_adapters
    from lapd.adapters.merge import merge_adapters
    from lapd.errors import UsageError
    from lapd.models.base import resolve_base

    if not into_base and (dtype or gguf):
        raise UsageError(f"{'--dtype' if dtype else '--gguf'} is for a whole model.", "Add --into-base.")
    parts = [resolve_adapter(adapter) for adapter in adapters]
    what = " + ".join(part.label for part in parts)
    if not into_base:
        merged = merge_adapters(parts, out, resolve_base(base) if base else None, force=force)
        _say_adapter(what, merged, out, as_json)
        return
    names = {base_of(part) for part in parts}
    if base is None and len(names) > 1:
        raise UsageError(f"The adapters have different bases ({', '.join(sorted(names))}).", "Bake them apart.")
    resolved = resolve_base(base or names.pop())
    bake_adapters(parts, resolved, out, dtype=dtype or "float32", gguf=gguf, force=force)
    _say_model(f"{what} on {resolved.name}", out, as_json)


def _say_adapter(what: str, merged: Adapter, out: Path, as_json: bool) -> None:
    from lapd.adapters.merge import VLLM_RANKS, vllm_rank

    card = merged.card or {}
    rank = card["settings"]["r"]
    if as_json:
        echo_json({"adapter": str(merged.path), "digest": merged.digest, "rank": rank, "run_card": card})
        return
    who = merged.persona or "".join(card["poles"].values()) or "no persona"
    click.echo(f"{what} is in {merged.path} ({who}, rank {rank}).")
    allowed = vllm_rank(rank)
    least = f"takes it with --max-lora-rank {allowed}" if allowed else f"takes no rank above {VLLM_RANKS[-1]}"
    click.echo(f"vLLM {least}{'' if allowed else ': bake it with --into-base'}.")
    click.echo(f"Next: lapd eval --adapter {out} --tasks situations", err=True)


def _say_model(what: str, out: Path, as_json: bool) -> None:
    from lapd.adapters.adapter import RUN_CARD
    from lapd.files.whole import read_json
    from lapd.models.base import resolve_base

    card = read_json(out / RUN_CARD)
    file = out / f"{out.name}.gguf"
    if as_json:
        gguf = str(file.resolve()) if file.is_file() else None
        digest = resolve_base(str(out)).digest
        echo_json({"model": str(out.resolve()), "digest": digest, "gguf": gguf, "run_card": card})
        return
    megabytes = sum(f.stat().st_size for f in out.glob("*.safetensors")) / 1e6
    click.echo(f"{what} is in {out.resolve()} ({card['settings']['dtype']}, {megabytes:.0f} MB).")
    if file.is_file():
        click.echo(f"GGUF: {file.resolve()}")
    click.echo(f"Next: lapd eval --base {out} --tasks situations", err=True)
