"""`lapd generate`: preference pairs for a persona, by any generator, with the options that it declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import click

from lapd.cli.common import FOLDER, echo_json, json_option, traits_option
from lapd.errors import DataError, PluginError, UsageError

DEFAULT = "contrast"
CHOSEN = "lapd.generator"
"""The key of the click context's `meta` under which the chosen generator is kept."""


class GenerateCommand(click.Command):
    """A command that looks at `--generator` first and then takes that generator's options beside its own."""

    default = DEFAULT

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from lapd.options import declared
        from lapd.pluginmanager import lookup

        chosen = lookup("generators", _value_of("--generator", args) or self.default)
        ctx.meta[CHOSEN] = chosen
        own = {name for parameter in self.params for name in parameter.opts}
        if clash := sorted(own.intersection(name for option in declared(chosen) for name in option.opts)):
            raise PluginError(f"Generator {chosen.name} declares {clash[0]}, which `{ctx.command_path}` has itself.")
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse(error, chosen)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_declared(ctx)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options, then the generator's under a heading of their own."""
        groups = {
            "Options": super().get_params(ctx),
            f"Options of the generator {_chosen(ctx).name}": _declared(ctx),
        }
        for title, parameters in groups.items():
            options = [parameter for parameter in parameters if isinstance(parameter, click.Option)]
            if records := [record for option in options if (record := option.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(records)


def _chosen(ctx: click.Context) -> Any:
    from lapd.pluginmanager import lookup

    assert isinstance(ctx.command, GenerateCommand)
    return ctx.meta.get(CHOSEN) or lookup("generators", ctx.command.default)


def _declared(ctx: click.Context) -> Sequence[click.Option]:
    from lapd.options import declared

    return declared(_chosen(ctx))


def _value_of(option: str, args: Sequence[str]) -> str | None:
    """The last value that an option is given in `args`, before click has read them."""
    given = [following for arg, following in pairwise(args) if arg == option]
    given += [arg.partition("=")[2] for arg in args if arg.startswith(f"{option}=")]
    return given[-1] if given else None


def _refuse(error: click.NoSuchOption, chosen: Any) -> NoReturn:
    """Say whose option it is, if it is another generator's."""
    from lapd.options import declared
    from lapd.pluginmanager import registry

    for name, generator in registry("generators").items():
        if any(error.option_name in option.opts for option in declared(generator)):
            raise UsageError(
                f"{error.option_name} is an option of the generator {name}, not of {chosen.name}.",
                f"Add --generator {name}, or leave it out.",
            ) from None
    raise error


@click.command(cls=GenerateCommand)
@click.argument("persona")
@click.option("--generator", default=DEFAULT, show_default=True, help="Which generator; `lapd plugins` lists them.")
@click.option(
    "--pairs", "--limit", "pairs", type=click.IntRange(1), metavar="N",
    help="At most so many pairs.  [default: all there are]",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice and order of the pairs.")
@click.option("-o", "--out", type=FOLDER, required=True, metavar="FILE", help="The pairs file to write (JSON lines).")
@click.option("--dry-run", is_flag=True, help="Say what would be asked for and what it would cost; ask for nothing.")
@traits_option
@json_option
def command(
    persona: str, generator: str, pairs: int | None, seed: int, out: Path, dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Write preference pairs that teach PERSONA, one JSON object a line.

    PERSONA is a code such as INFP, or a single pole such as I. Generators have options of their own: `lapd generate
    --generator openai --help` shows those of `openai`.

    \b
    lapd generate INFP -o pairs.jsonl
    lapd train INFP --dataset pairs.jsonl
    """
    from lapd.names import get_persona
    from lapd.options import configured
    from lapd.pairs.pair import pairs_digest, refuse_faulty, write_pairs

    who = get_persona(persona)
    if out.is_dir():
        raise UsageError(f"{out} is a folder.", "Give -o a file, such as pairs.jsonl.")
    chosen = configured("generators", generator, given_options(options, out))
    if dry_run:
        known = hasattr(chosen, "estimate")
        _say_estimate(chosen.estimate(who, pairs=pairs, seed=seed) if known else {"requests": 0}, as_json)
        return
    made = list(chosen.generate(who, pairs=pairs, seed=seed))
    if not made:
        raise DataError(generator, f"this generator has no pairs for {who.code}.")
    refuse_faulty(f"generator {generator}", made)
    count = write_pairs(out, made)
    if as_json:
        echo_json({"persona": who.code, "pairs": count, "file": str(out), "digest": pairs_digest(made)})
        return
    click.echo(f"{count} pairs for {who.code} in {out}.")


def given_options(options: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What the generator that was chosen is configured with: the options that were given, and where its pairs go."""
    context, default = click.get_current_context(), click.ParameterSource.DEFAULT
    given = {name: value for name, value in options.items() if context.get_parameter_source(name) != default}
    return {**given, "out": out} if _declared(context) else {}


def _say_estimate(estimate: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(estimate)
        return
    for name, value in estimate.items():
        click.echo(f"{name.replace('_', ' ')}: {value}")
