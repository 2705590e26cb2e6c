"""`lapd data fetch`: what is brought is what was published, or nothing; the rest is one line."""

import hashlib
import http.server
import io
import threading
import zipfile
from functools import partial

import pytest
from conftest import SHARED, listing

from lapd.errors import DataError, UnknownNameError
from lapd.files import fetch as fetching
from lapd.files.fetch import SOURCES, DataFile, Source, fetch

SHIPPED_ELSEWHERE = SHARED / "benchmarks"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A made-up source `letters` with one file and one file in an archive, in a folder of a publisher's shape."""
    folder = tmp_path / "place" / "letters"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha\n" * 50_000)
    (folder / "b.txt").write_bytes(b"beta\n")
    with zipfile.ZipFile(tmp_path / "place" / "b.zip", "w") as archive:
        archive.writestr("inside/b.txt", b"beta\n")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.txt", "b.txt")}

    def serve(address):
        files = (
            DataFile("a.txt", f"{address}/letters/a.txt", digests["a.txt"]),
            DataFile("b.txt", f"{address}/b.zip", digests["b.txt"], "inside/b.txt"),
        )
        monkeypatch.setitem(SOURCES, "letters", Source("letters", "made up", "https://example.org", files))

    serve(str(tmp_path / "place"))
    return tmp_path / "place", serve


@pytest.fixture
def server(place):
    """The same folder behind HTTP; gives its address."""
    folder, serve = place
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{httpd.server_port}"
    serve(address)
    yield address
    httpd.shutdown()
    httpd.server_close()


def test_files_come_from_an_address_and_out_of_an_archive(server, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = fetch("letters", tmp_path / "data")
    assert folder == tmp_path / "data" / "letters"
    assert listing(folder) == ["a.txt", "b.txt"]
    assert (folder / "b.txt").read_text() == "beta\n"
    shown = capsys.readouterr().err
    assert "fetch a.txt: 100%" in shown
    assert f"letters: {folder} (licence: made up; https://example.org)." in shown


def test_files_that_are_right_are_left_alone_and_wrong_ones_replaced(place, tmp_path):
    folder = fetch("letters", tmp_path, quiet=True)
    (place[0] / "letters" / "a.txt").unlink()
    fetch("letters", tmp_path, quiet=True)
    (folder / "b.txt").write_text("something else")
    fetch("letters", tmp_path, quiet=True)
    assert (folder / "b.txt").read_text() == "beta\n"


def test_another_content_is_refused_and_leaves_nothing(place, tmp_path):
    (place[0] / "letters" / "a.txt").write_text("forged")
    with pytest.raises(DataError, match=r"letters could not be fetched \(its SHA-256 is [0-9a-f]{12}\.\.\., not"):
        fetch("letters", tmp_path / "data", quiet=True)
    assert listing(tmp_path / "data" / "letters") == []


def test_every_failure_is_one_line_that_names_both_ways(server, place, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (place[0] / "b.zip").write_bytes(b"no archive")
    messages = []
    for mirror in (None, "http://127.0.0.1:9", f"{server}/nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(DataError) as error:
            fetch("letters", tmp_path / "data", mirror, quiet=True)
        messages.append(str(error.value))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError) as error:
        fetch("letters", tmp_path / "data", server, quiet=True)
    reasons = ("not a zip file", "Connection refused", "404", "no such file", "HF_HUB_OFFLINE is set")
    for message, reason in zip([*messages, str(error.value)], reasons, strict=True):
        assert reason in message
        assert "\n" not in message
        assert "Give --data-dir (or LAPD_DATA_DIR) a folder with letters/a.txt and b.txt" in message
        assert "or get a network: `lapd data fetch letters`" in message


def test_an_unknown_name_is_told_what_there_is(tmp_path):
    with pytest.raises(UnknownNameError, match=r"Did you mean eqbench\? Known: beavertails, eqbench, socialiqa"):
        fetch("eqbnch", tmp_path)


def test_a_hub_that_cannot_be_reached_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"beavertails could not be fetched \(\[Errno 111\] Connection refused\)"):
        fetch("beavertails", tmp_path, quiet=True)


def test_every_source_says_its_licence_and_pins_its_files():
    for source in SOURCES.values():
        assert source.licence
        assert source.page.startswith("https://")
        for file in source.files:
            assert len(file.sha256) == 64
            assert file.url.startswith(("https://", fetching.HUB))
            assert bool(file.columns) == file.url.startswith(fetching.HUB)


def test_an_archive_is_read_from_blocks():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x", "content")
    whole = stream.getvalue()
    assert b"".join(fetching._unpacked([whole[:10], whole[10:]], "x")) == b"content"


@pytest.mark.skipif(not SHIPPED_ELSEWHERE.is_dir(), reason="../shared/benchmarks is not here")
def test_the_publishers_files_are_what_the_digests_say(tmp_path, invoke):
    names = ("beavertails", "eqbench", "socialiqa")
    result = invoke("data", "fetch", *names, "--from", SHIPPED_ELSEWHERE, "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert listing(tmp_path) == list(names)
    assert listing(tmp_path / "socialiqa") == ["dev-labels.lst", "dev.jsonl"]
    assert result.stdout == f"Next: lapd eval --tasks beavertails --data-dir {tmp_path} ...\n"


def test_where_to_is_asked_for(invoke, monkeypatch):
    monkeypatch.delenv("LAPD_DATA_DIR", raising=False)
    result = invoke("data", "fetch", "eqbench")
    assert result.exit_code == 2
    assert result.stderr == "Error: Where to? Give --data-dir DIR, or set LAPD_DATA_DIR.\n"
