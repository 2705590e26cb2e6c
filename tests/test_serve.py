"""`lapd serve RUN`: the page of a run while its cells are running, on this machine alone, and only to be read."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shown_runs import shown_run, unfinish

from lapd.errors import StoreError
from lapd.files.whole import read_json, write_json
from lapd.record.store import Store
from lapd.report.live.server import Server
from lapd.report.live.watched import Watched


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A finished run, served."""
    folder = shown_run(tmp_path_factory.mktemp("served") / "<i>run")
    with Server(Watched(folder), 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


Answer = tuple[int, str, dict[str, str]]


def ask(server: Server, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    """The status, body and headers of an answer; `Host` is right unless it is given, and left out where it is ""."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=300)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{server.server_port}", **headers}.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read().decode()
    connection.close()
    return reply.status, body, dict(reply.headers)


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_the_page_is_the_report_with_how_far_the_run_is_and_nothing_is_written(server: Server) -> None:
    before = everything(server.watched.folder)
    status, page, headers = ask(server)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "3 of 3 cells are finished." in page and "INFP" in page and page.count('id="live"') == 1
    assert "connect-src 'self'" in page and 'http-equiv="refresh"' not in page
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert ask(server, "/", Host=f"LocalHost:{server.server_port}")[1] == page
    told = json.loads(ask(server, "/progress", Origin=server.address.rstrip("/"))[1])
    assert (told["done"], told["total"], told["unfinished"]) == (3, 3, False)
    assert f'data-page="{told["page"]}"' in page
    status, body, headers = ask(server, method="HEAD")
    assert (status, body, int(headers["Content-Length"])) == (200, "", len(page.encode()))
    assert everything(server.watched.folder) == before
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/../../etc/passwd",
            "/..%2f..%2fetc/passwd",
            "/%2e%2e/run.json",
            "//",
            "//etc/passwd",
            "/run.json",
            "/cells",
        ),
        *(
            "/progress/",
            "/progress/../run.json",
            "/%00",
            "/?",
            "/\\..\\run.json",
            "http://evil.example/",
            "*",
            "/index.html",
        ),
        *("/static/../../../../../etc/passwd", "/" + "a" * 5000, "/%2F", "/.", "/favicon.ico"),
    ],
)
def test_hostile_paths_are_not_found(server: Server, path: str) -> None:
    status, body, _ = ask(server, path)
    assert (status, body) == (404, "There is nothing here.")


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Host": "evil.example"},
            {"Host": "127.0.0.1"},
            {"Host": "localhost:1"},
            {"Host": "127.0.0.1.evil.example:{port}"},
        ),
        *({"Host": ""}, {"Host": "0.0.0.0:{port}"}, {"Origin": "http://evil.example"}, {"Origin": "null"}),
        *({"Origin": "https://127.0.0.1:{port}"}, {"Origin": "http://127.0.0.1:1"}),
    ],
)
def test_requests_to_another_name_or_of_another_page_are_refused(server: Server, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=server.server_port) for name, value in headers.items()}
    for path in ("/", "/progress"):
        status, body, _ = ask(server, path, **sent)
        assert (status, body) == (403, "Forbidden")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_what_could_change_something_is_refused(server: Server, method: str) -> None:
    status, _, headers = ask(server, method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert ask(server, method="BREW")[0] == 501


def test_what_is_no_request_gets_no_page(server: Server) -> None:
    for text in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as sent:
            sent.sendall(text)
            sent.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: sent.recv(65536), b""))
        assert b" 200 " not in received and b"<main" not in received
    assert ask(server, "/progress")[0] == 200


def test_a_page_is_made_anew_once_a_cell_has_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapd.report.live.watched.REST", 0)
    run = shown_run(tmp_path / "run")
    result = next(path for path in run.glob("cells/*/result.json") if read_json(path)["arm"] == "INFP")
    content = read_json(result)
    unfinish(run, "base")
    (result.parent / "journal.jsonl").write_text('{"plan": "x"}\n[1]\n[2]\n')
    watched = Watched(run)
    page = watched.page()
    assert "1 of 3 cells are finished. At work: INFP on situations (2 batches)." in page
    assert "There is no comparison yet." in page and "First numbers" in page and 'http-equiv="refresh"' in page
    made = watched._text
    assert watched.page() == page and watched._text is made
    write_json(result, content)
    assert watched.progress().page not in page
    page = watched.page()
    assert "2 of 3 cells are finished." in page and "There is no comparison yet." not in page
    assert "unfinished" in page and f'data-page="{watched.progress().page}"' in page


def test_a_folder_without_cells_is_watched_where_adapters_are_being_trained(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no run folder"):
        Watched(tmp_path / "none")
    (tmp_path / "<b>run" / "adapters").mkdir(parents=True)
    page = Watched(tmp_path / "<b>run").page()
    assert "No cell is planned yet" in page and "<b>run" not in page and "First numbers" not in page


def test_ctrl_c_ends_it_with_a_line_and_a_taken_port_is_told_in_one(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    run = shown_run(tmp_path / "run")
    command = [sys.executable, "-m", "lapd", "serve", str(run), "--port", "0"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found, line
        taken = invoke("serve", run, "--port", found[1])
        assert (taken.exit_code, taken.stderr) == (
            1,
            f"Error: Port {found[1]} is in use. Give another --port, or 0 for any that is free.\n",
        )
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=300)
    assert (process.returncode, out, told.strip()) == (0, "", "No longer served.")
    assert invoke("serve", tmp_path / "none").exit_code == 1
    assert Store(run).run()["cells"]
