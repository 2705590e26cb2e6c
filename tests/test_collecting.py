"""The garbage collector is kept from what stays: in a program of LAPD's own, and from nobody else's objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import listing, run_python

START = """
import atexit, gc, sys, tempfile
from lapd.files.collecting import begin_program, importing

class Knot:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("untied")

def imported(name):
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        __import__(name)
    assert gc.isenabled()
    return gc.get_freeze_count() - before
"""
"""What the programs below begin with; a knot is an object that only the collector finds."""


@pytest.mark.parametrize(("begins", "heard"), [("begin_program()", ""), ("", "untied\n")])
def test_a_program_ends_without_a_search_for_cycles_and_with_all_else(begins: str, heard: str, tmp_path: Path) -> None:
    code = (
        f"{begins}\nknot = Knot()\nplace = tempfile.TemporaryDirectory(dir=sys.argv[1])\n"
        "with open(f'{place.name}/part', 'w') as stream:\n    stream.write('x')\natexit.register(print, 'the end')"
    )
    done = run_python(START + code, str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n" + heard, "")
    assert listing(tmp_path) == []


def test_what_a_program_imports_is_left_out_of_collections_and_what_a_library_imports_is_not() -> None:
    code = "print(imported('wave'))\nbegin_program()\nprint(imported('plistlib') > 0, imported('plistlib'))"
    done = run_python(START + code)
    assert done.stdout == "0\nTrue 0\n", done.stderr


def test_an_error_while_importing_leaves_the_collector_as_it_was() -> None:
    code = "for switch in gc.enable, gc.disable:\n    switch()\n    try:\n        imported('gone_for_good')\n"
    done = run_python(START + code + "    except ImportError:\n        print(gc.isenabled())")
    assert done.stdout == "True\nFalse\n", done.stderr


def test_the_command_is_a_program() -> None:
    code = "import gc, sys\nfrom lapd.cli import main\nsys.argv = ['lapd', '--version']\ntry:\n    main()\n"
    done = run_python(code + "finally:\n    print(gc.get_freeze_count() > 0)")
    assert done.stdout.splitlines()[-1] == "True"
