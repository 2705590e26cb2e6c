"""`lapd traits`: which trait packs there are, what a pack lacks, its tasks as YAML, and a new one to begin with."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lapd.cli.common import FOLDER, echo_json, echo_table, json_option, traits_option
from lapd.cli.generate_command import GenerateCommand, given_options

if TYPE_CHECKING:
    from lapd.traits.pack import TraitPack


@click.group(invoke_without_command=True)
@traits_option
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the trait packs, their axes and poles; check a pack, or begin a new one.

    A pack is a folder of data: axes with two poles each, and where it has them personas, situations and a
    questionnaire. Every pole is a persona, and the pack's tasks follow from its data.

    \b
    lapd traits
    lapd traits new warmth -o warmth
    lapd traits check warmth
    lapd train more-warmth --traits warmth -o out/warm
    """
    if ctx.invoked_subcommand:
        return
    from lapd.names import packs

    known = list(packs().values())
    if as_json:
        echo_json([_record(pack) for pack in known])
        return
    rows = [[pack.name, axis.id, *axis.ends, axis.name] for pack in known for axis in pack.axes]
    echo_table(["pack", "axis", "first pole", "second pole", "name"], rows)


def _record(pack: TraitPack) -> dict[str, Any]:
    from lapd.traits.tasks import pack_tasks

    return {
        "name": pack.name,
        "title": pack.title,
        "licence": pack.licence,
        "folder": str(pack.folder),
        "axes": [
            {"id": axis.id, "name": axis.name, "poles": [asdict(pole) for pole in axis.poles]} for axis in pack.axes
        ],
        "personas": [persona.code for persona in pack.personas],
        "tasks": list(pack_tasks(pack)),
    }


@command.command()
@click.argument("name", metavar="DIR|NAME")
@json_option
def check(name: str, as_json: bool) -> None:
    """Hold a pack to the gates of `lapd data check`, and say what it lacks for what; exit 1 if a gate fails.

    \b
    lapd traits check warmth                 the pack in this folder
    lapd traits check mbti --json            an installed one
    """
    from lapd.cli.data_command import check_record, show_checks
    from lapd.hygiene.checks import check_entries
    from lapd.hygiene.entries import pack_entries
    from lapd.names import packs, use_traits
    from lapd.questionnaires.reading import read_questionnaire
    from lapd.traits.features import features
    from lapd.traits.pack import read_pack

    folder = Path(name)
    if not folder.exists() and name in packs():
        folder = packs()[name].folder
    else:
        use_traits(folder)
    pack = read_pack(folder)
    found = features(pack)
    for form in pack.questionnaires():
        read_questionnaire(form)
    entries = pack_entries(pack)
    checks = check_entries(entries)
    passed = all(one.ok is not False for one in checks)
    if as_json:
        echo_json(
            {
                "pack": pack.name,
                "ok": passed,
                "features": [asdict(feature) for feature in found],
                "rows": len(entries),
                "checks": [check_record(one) for one in checks],
            }
        )
    else:
        echo_table(["for", "", "note"], [[f.name, "ok" if f.there else "lacks", f.note] for f in found])
        if entries:
            click.echo()
            show_checks(str(folder), len(entries), checks)
    sys.exit(0 if passed else 1)


@command.command()
@click.argument("name")
@click.option("-o", "--out", type=FOLDER, metavar="DIR", help="Where it goes.  [default: ./NAME]")
@json_option
def new(name: str, out: Path | None, as_json: bool) -> None:
    """Write a pack of one axis called NAME to begin with: rewrite its texts, and add situations.

    \b
    lapd traits new warmth
    """
    from lapd.traits.scaffold import new_pack

    folder = out or Path(name)
    new_pack(name, folder)
    if as_json:
        echo_json({"pack": name, "folder": str(folder)})
        return
    click.echo(f"A pack with one axis is in {folder}. Rewrite its texts; README.md says how.")
    click.echo(f"Next: lapd traits check {folder}", err=True)


@command.command()
@click.argument("pack", metavar="NAME|DIR")
@click.option("-o", "--out", type=FOLDER, required=True, metavar="DIR", help="Where they go.")
def tasks(pack: str, out: Path) -> None:
    """Write a pack's tasks as YAML, for a package that puts them where a stock lm_eval looks.

    LAPD needs none of these files, and `lapd tasks --path` prints a folder that has them too.

    \b
    lapd traits tasks warmth -o lapd_warmth/tasks
    """
    from lapd.errors import DataError
    from lapd.files.whole import write_text
    from lapd.names import find_pack
    from lapd.traits.tasks import pack_tasks, task_text

    known = find_pack(pack)
    if not (found := pack_tasks(known)):
        hint = f"`lapd traits check {known.folder}` says what it lacks."
        raise DataError(
            known.folder, "this pack has no held-out situations and no questionnaire to make tasks of.", hint=hint
        )
    for name, config in found.items():
        write_text(out / f"{name}.yaml", task_text(config))
    click.echo(f"{len(found)} tasks in {out}: {', '.join(found)}.")


class WriteCommand(GenerateCommand):
    """`lapd traits write`: it needs a generator that drafts, and contrast only reads."""

    default = "openai"


@command.command(cls=WriteCommand)
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--generator", default="openai", show_default=True, help="Which generator; one that drafts.")
@click.option("--situations", type=click.IntRange(0), default=55, show_default=True, metavar="N", help="An axis.")
@click.option("--items", type=click.IntRange(0), default=10, show_default=True, metavar="N", help="An axis.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling.")
@json_option
def write(folder: Path, generator: str, situations: int, items: int, seed: int, as_json: bool, **options: Any) -> None:
    """Have a model draft situations and questionnaire items for the axes of the pack in DIR, to be reviewed.

    The drafts go to DIR/drafts, in the form of the pack's own files; nothing of the pack is changed. Read them, mend
    them, and move them where they belong. The same command again asks only for what is not there.

    \b
    lapd traits write warmth --model gpt-4.1-mini --max-cost 2
    lapd traits write warmth --base-url http://127.0.0.1:8000/v1 --model served --situations 20 --items 0
    """
    from lapd.errors import UsageError
    from lapd.options import configured
    from lapd.traits.drafts import write_drafts
    from lapd.traits.pack import read_pack

    pack = read_pack(folder)
    if not situations and not items:
        raise UsageError("There is nothing to draft.", "Give --situations or --items a number.")
    chosen = configured("generators", generator, given_options(options, folder / "drafts" / "drafts"))
    if not hasattr(chosen, "draft"):
        raise UsageError(f"The generator {generator} drafts nothing.", "Give --generator openai.")
    written = write_drafts(folder, pack, chosen.draft(pack, situations=situations, items=items, seed=seed))
    if as_json:
        echo_json({"pack": pack.name, "files": {str(path): count for path, count in written.items()}})
        return
    for path, count in written.items():
        click.echo(f"{count} drafts in {path}.")
    click.echo(f"Next: read them; lapd data check {folder / 'drafts' / 'contrast'}", err=True)
