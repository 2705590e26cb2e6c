"""The assertion for trait packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lapd.testing.demands import demand
from lapd.testing.tasks import assert_tasks

if TYPE_CHECKING:
    from lapd.traits.pack import TraitPack


def assert_pack(folder: Path) -> TraitPack:
    """Assert that a trait pack can be used and passes the gates of `lapd traits check`, and return it.

    Its files can be read, its situations teach the traits and nothing else, and the tasks that follow from its data
    load and score.

    Args:
        folder: with its traits.yaml.

    Raises:
        AssertionError: a gate fails, or a task does not work; the message says which, and by which rows.
        DataError: a file is none of a pack's.
    """
    __tracebackhide__ = True
    from lapd.hygiene.checks import check_entries
    from lapd.hygiene.entries import pack_entries
    from lapd.names import packs, use_traits
    from lapd.questionnaires.reading import read_questionnaire
    from lapd.traits.pack import read_pack
    from lapd.traits.tasks import write_tasks

    pack = read_pack(folder)
    if folder.resolve() not in {known.folder for known in packs().values()}:
        use_traits(folder)
    for form in pack.questionnaires():
        read_questionnaire(form)
    failed = []
    for check in check_entries(entries) if (entries := pack_entries(pack)) else ():
        if check.ok is False:
            rows = "".join(f"; {fault.row} {fault.fault}" for fault in check.rows[:3])
            failed.append(f"{check.name}: {check.value:g}, wanted {check.threshold}{rows}")
    demand(not failed, f"trait pack {pack.name}:\n" + "\n".join(failed))
    written = write_tasks(pack)
    if any(written.glob("*.yaml")):
        assert_tasks(written)
    return pack
