"""Folders and files whose names have letters that mean something elsewhere, or too many of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lapd.adapters.adapter import resolve_adapter, resolve_adapters
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import UsageError
from lapd.evaluate.served import served_adapters, served_name
from lapd.files.whole import LONGEST_NAME, fitting_name, write_text
from lapd.models.base import resolve_base

ODD = ("[1] INFP", "lr=1e-4", "a*b", "what?", "[!x]", "50%", "INFP@home")


@pytest.mark.parametrize("name", ODD)
def test_a_folder_with_letters_of_a_pattern_is_found_by_its_own_name(
    make_adapter: Callable[..., Path], name: str
) -> None:
    folder = make_adapter(name)
    assert [a.path for a in resolve_adapters([str(folder)])] == [folder]
    assert resolve_adapter(folder).name == name


@pytest.mark.parametrize("name", ODD)
def test_a_pattern_reaches_into_a_folder_whose_name_has_its_letters(
    make_adapter: Callable[..., Path], name: str
) -> None:
    folders = [make_adapter(f"{name}/INFP"), make_adapter(f"{name}/INTJ")]
    assert [a.path for a in resolve_adapters([f"{folders[0].parent}/*"])] == folders
    assert [a.path for a in resolve_adapters([f"{folders[0].parent}/IN[F]P"])] == folders[:1]


def test_a_pattern_is_still_one_where_no_folder_is_called_so(make_adapter: Callable[..., Path]) -> None:
    folders = [make_adapter("A1"), make_adapter("A2")]
    parent = folders[0].parent
    assert [a.name for a in resolve_adapters([f"{parent}/A[12]"])] == ["A1", "A2"]
    with pytest.raises(UsageError, match="No adapter folder matches"):
        resolve_adapters([f"{parent}/B[12]"])


ENDPOINT = Endpoint("llama", "http://127.0.0.1:1/v1")


@pytest.mark.parametrize("place", ["lr=1e-4/INFP", "lr=1e-4", "a=b=c", "[1]/x=y"])
def test_a_served_adapters_folder_may_have_an_equals_sign(make_adapter: Callable[..., Path], place: str) -> None:
    folder = make_adapter(place)
    for text, name in ((f"{folder}", folder.name), (f"served={folder}", "served"), (f"a=b={folder}", "a=b")):
        (adapter,) = served_adapters([text], ENDPOINT)
        assert (adapter.name, adapter.path) == (name, folder)
    assert served_adapters([served_name("x=y", str(folder))], ENDPOINT)[0].name == "x=y"


def test_a_served_adapters_folder_may_be_named_from_here(
    make_adapter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_adapter("lr=1e-4")
    monkeypatch.chdir(folder.parent)
    assert served_adapters(["lr=1e-4"], ENDPOINT)[0].path == folder
    assert served_adapters(["INFP=lr=1e-4"], ENDPOINT)[0].path == folder
    assert served_adapters(["INFP[v2]"], ENDPOINT)[0].name == "INFP[v2]"  # a name that the server knows


def test_names_that_are_too_long_together_are_cut_and_stay_apart() -> None:
    names = ["-".join([letter * 90] * 4) for letter in ("a", "b", "é", "형")]
    cut = [fitting_name(name) for name in names]
    assert len(set(cut)) == 4
    assert all(len(name.encode()) <= LONGEST_NAME for name in cut)
    assert fitting_name("INFP-INTJ") == "INFP-INTJ"
    assert fitting_name(names[0] + "a") != cut[0]


def test_a_file_with_the_longest_name_that_a_file_system_takes_is_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "형" * 85):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"


def test_a_deep_base_folder_with_letters_of_other_alphabets_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / ("형" * 80) / ("é" * 100) / os.fsdecode(b"not utf-8 \xff")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "none"}')
    digest = resolve_base(str(folder)).digest
    assert resolve_base(str(folder)).digest == digest


def test_many_adapters_of_long_names_share_a_run_folder_that_can_be_made(
    make_adapter: Callable[..., Path], invoke: Callable[..., Result], base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base_folder.parent)
    digest = resolve_base(str(base_folder)).digest
    folders = [make_adapter(f"{letter}" * 120, base_digest=digest) for letter in "abcd"]
    options = [part for folder in folders for part in ("--adapter", folder)]
    result = invoke("eval", *options, "--base", base_folder, "--tasks", "situations", "--plan")
    assert result.exit_code == 0, result.stderr


def test_a_name_that_no_file_system_takes_is_one_line(invoke: Callable[..., Result], base_folder: Path) -> None:
    out = base_folder.parent / ("x" * 300)
    result = invoke("eval", "--base", base_folder, "--tasks", "situations", "--arms", "base", "-o", out)
    assert result.exit_code == 1
    assert "too long" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
