"""Requests that are malformed, too long or not meant well: 4xx, one line, no memory."""

import json
import os
import re
import signal
import socket
import stat
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.browser import open_browser
from tests.partial.conftest import make_completed
from tests.partial.test_review import Server

LIMIT = 1_000_000


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server of its own, and what it says on stderr."""
    folder = tmp_path_factory.mktemp("requests")
    with (folder / "log").open("w") as log:
        server = Server(make_completed(folder / "new", "a"), stderr=log)
    server.log = folder / "log"
    yield server
    server.stop()
    assert server.process.returncode == 0
    assert "Traceback" not in server.log.read_text()


def raw(server, content: bytes, seconds=90.0) -> int:
    """The status of the answer to bytes that are sent as they stand; 0: cut off."""
    host, port = server.host.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        try:
            connection.sendall(content)
            answer = connection.recv(4096)
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer else 0


def head(server, line="GET /api/images", host=None, token=None, **headers) -> bytes:
    fields = {"Host": host or server.host, "X-Token": token or server.token}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{line} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items() if v)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def act(server, body: bytes) -> bytes:
    length = {"Content_Length": str(len(body))}
    return head(server, "POST /api/act/a", Connection="close", **length) + body


def one_line(server, before: int) -> str:
    for _ in range(1200):
        lines = server.log.read_text()[before:].splitlines()
        if lines:
            break
        time.sleep(0.05)
    assert len(lines) == 1, lines
    assert server.token not in lines[0]
    return lines[0]


ACTIONS = [
    b"",
    b"no json",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"action":' * 50_000,
    b"[]",
    b"7",
    b"null",
    b'{"version": 0}',
    b'{"action": {"do": "undo"}}',
    b'{"action": [], "version": 0}',
    b'{"action": {"do": "undo"}, "version": true}',
    b'{"action": {"do": "undo"}, "version": 0.0}',
    b'{"action": {"do": "undo"}, "version": 1%s}' % (b"0" * 5000),
    b'{"action": {}, "version": 0}',
    b'{"action": {"do": ["draw"]}, "version": 0}',
    b'{"action": {"do": {"a": 1}}, "version": 0}',
    b'{"action": {"do": null}, "version": 0}',
    b'{"action": {"do": "\\ud800\\n"}, "version": 0}',
    b'{"action": {"do": "undo", "\\udfff": 1}, "version": 0}',
    b'{"action": {"do": "reviewed", "value": [1]}, "version": 0}',
    b'{"action": {"do": "accept", "ids": [[4]]}, "version": 0}',
    b'{"action": {"do": "accept", "ids": [1e300]}, "version": 0}',
    b'{"action": {"do": "accept", "ids": [1%s]}, "version": 0}' % (b"0" * 300),
    b'{"action": {"do": "delete", "ids": {"4": 4}}, "version": 0}',
    b'{"action": {"do": "merge", "ids": [-1, 0]}, "version": 0}',
    b'{"action": {"do": "draw", "y": NaN, "x": 1, "ry": 1, "rx": 1}, "version": 0}',
    b'{"action": {"do": "draw", "y": 1%s, "x": 1, "ry": 1, "rx": 1}, "version": 0}'
    % (b"0" * 400),
    b'{"action": {"do": "draw", "y": 1, "x": 1, "ry": Infinity, "rx": 1}, "version":0}',
    b'{"action": {"do": "split", "id": "1", "y0": 1, "x0": 1}, "version": 0}',
    b'{"action": {"do": "split", "id": 1, "y0": [], "x0": 1}, "version": 0}',
    b'{"action": {"do": "paint", "radius": 3, "points": [[1e400, 1]]}, "version": 0}',
    b'{"action": {"do": "paint", "radius": 3, "points": [[1%s, 1]]}, "version": 0}'
    % (b"0" * 400),
    b'{"action": {"do": "paint", "radius": 3, "points": [["1", "2"]]}, "version": 0}',
    b'{"action": {"do": "paint", "radius": true, "points": [[1, 2]]}, "version": 0}',
    b'{"action": {"do": "paint", "id": [], "radius": 2, "points": [[1, 2]]}}',
]


@pytest.mark.parametrize("number", range(len(ACTIONS)))
def test_what_is_no_action_is_400_and_one_line(running, number):
    before = len(running.log.read_text())
    assert raw(running, act(running, ACTIONS[number])) == 400
    assert "400" in one_line(running, before)


ADDRESSES = {
    "GET /api/image/a?step=": 200,
    "GET /api/image/a?step=0": 400,
    "GET /api/image/a?step=65": 400,
    "GET /api/image/a?step=-1": 400,
    "GET /api/image/a?step=" + 5000 * "9": 400,
    "GET /api/image/a?step=%D9%A3": 400,
    "GET /api/image/a?channel=" + 5000 * "1": 400,
    "GET /api/image/a?channel=9": 400,
    "GET /api/image/a?channel=x": 400,
    "GET /api/beads/%00": 404,
    "GET /api/beads/%ff%fe": 404,
    "GET /api/beads/a%0Ab": 404,
    "GET /api/beads/" + 3000 * "a": 404,
    "GET /api/images/": 404,
    "GET /api/act/a": 405,
    "DELETE /api/images": 405,
    "POST /": 405,
    "GET //": 404,
    "GET /" + 6_000 * "a": 404,
}


@pytest.mark.parametrize("line", ADDRESSES, ids=range(len(ADDRESSES)))
def test_addresses_that_lead_nowhere_are_4xx_and_one_line(running, line):
    before = len(running.log.read_text())
    assert raw(running, head(running, line)) == ADDRESSES[line]
    if ADDRESSES[line] != 200:
        one_line(running, before)


def test_an_address_longer_than_a_server_reads_is_4xx(running):
    found = raw(running, head(running, "GET /" + 60_000 * "a"))
    assert found in (400, 404)  # as it comes in one piece or in several


HEADERS = [
    {"host": "[::1"},
    {"host": "[::1]]"},
    {"host": "[]"},
    {"host": "[::1]:99999999"},
    {"host": "localhost:80:80"},
    {"host": "a b"},
    {"host": "user@127.0.0.1"},
    {"host": "127.0.0.1/../x"},
    {"host": "evil.example"},
    {"Origin": "http://[::1"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Content_Length": "-1"},
    {"Content_Length": "one"},
    {"Content_Length": str(10**30)},
    {"Content_Length": str(LIMIT + 1)},
    {"Content_Length": "5", "Transfer_Encoding": "chunked, nonsense"},
    {"token": "\xff\xfe"},
    {"token": "\xb2" * 32},
]


@pytest.mark.parametrize("number", range(len(HEADERS)))
def test_headers_that_are_malformed_are_4xx_and_one_line(running, number):
    before = len(running.log.read_text())
    assert 400 <= raw(running, head(running, **HEADERS[number])) < 500
    one_line(running, before)


@pytest.mark.parametrize(
    "content", [b"\r\n\r\n\r\nnonsense\r\n\r\n", b"\x16\x03\x01" * 9]
)
def test_what_is_no_http_is_400_and_one_line(running, content):
    before = len(running.log.read_text())
    assert raw(running, content) == 400
    one_line(running, before)


@pytest.mark.parametrize("host", ["[::1", "[::1]", "[::1]:1", "localhost", "127.0.0.1"])
def test_every_host_needs_the_token(running, host):
    assert 400 <= raw(running, head(running, host=host, token="wrong")) < 500
    allowed = host != "[::1"
    assert (raw(running, head(running, host=host)) == 200) == allowed


def memory(server) -> int:
    told = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", told)[1]) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize("piece", [1000, 2**16, 2**22])
@pytest.mark.parametrize("line", ["POST /api/act/a", "GET /api/images"])
@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_body_without_length_costs_no_memory(running, piece, line, token):
    before = memory(running)
    host, port = running.host.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=90) as connection:
        connection.sendall(
            head(running, line, token=token, Transfer_Encoding="chunked")
        )
        chunk = b"%x\r\n%s\r\n" % (piece, piece * b"[")
        try:
            for _ in range(min(2**26 // piece, 3000)):
                connection.sendall(chunk)
        except ConnectionError:
            pass  # refused, as it should be
    assert memory(running) - before < 30
    assert running.ask("/api/images")[0] == 200


@pytest.mark.parametrize("line", ["POST /api/act/a", "GET /api/images", "POST /gone"])
@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_body_that_breaks_is_400_and_said_without_a_traceback(running, line, token):
    """The application answers what the server has answered already."""
    before = len(running.log.read_text())
    sent = head(running, line, token=token, Transfer_Encoding="chunked")
    for _ in range(5):
        raw(running, sent + b"zz\r\n")
    time.sleep(0.2)
    said = running.log.read_text()[before:]
    assert said and "Traceback" not in said and len(said.splitlines()) <= 15
    assert running.ask("/api/images")[0] == 200


@pytest.mark.parametrize("sent", ["nothing", "half a head", "half a body"])
def test_who_sends_half_a_request_and_leaves_or_stays_holds_nothing(tmp_path, sent):
    with (tmp_path / "log").open("w") as log:
        server = Server(make_completed(tmp_path / "new", "a"), stderr=log)
    content = {
        "nothing": b"",
        "half a head": head(server)[:30],
        "half a body": head(server, "POST /api/act/a", Content_Length="90") + b"{",
    }[sent]
    host, port = server.host.rsplit(":", 1)
    gone, stays = (socket.create_connection((host, int(port))) for _ in range(2))
    for connection in (gone, stays):
        connection.sendall(content)
    gone.close()
    assert server.ask("/api/images")[0] == 200
    server.stop()
    stays.close()
    assert server.process.returncode == 0
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said and len(said.splitlines()) <= 3, said


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_every_end_saves_all(completed, how):
    server = Server(completed)
    assert server.act({"do": "accept", "ids": [4]}, 0)[0] == 200
    assert server.act({"do": "reviewed", "value": True}, 1)[0] == 200
    server.process.send_signal(how)
    server.process.send_signal(how if how != signal.SIGINT else signal.SIGHUP)
    said, _ = server.process.communicate(timeout=90)
    assert server.process.returncode == 0
    assert "1 of 1 image done" in said
    told = json.loads((completed / "provenance" / "a.json").read_text())
    assert told["decisions"] == 2 and told["reviewed"]
    assert "a = 1.0" in (completed / "beads.toml").read_text()
    assert AnnotationLog(completed, "a").version == 2


def test_a_closed_terminal_ends_it_with_all_saved(completed, tmp_path):
    with (tmp_path / "log").open("w") as log:
        server = Server(completed, stderr=log)
    assert server.act({"do": "accept", "ids": [4]}, 0)[0] == 200
    server.process.stdout.close()
    server.stop(signal.SIGHUP)
    assert server.process.returncode == 0 and not (tmp_path / "log").read_text()
    told = json.loads((completed / "provenance" / "a.json").read_text())
    assert told["decisions"] == 1


def test_the_token_is_on_no_command_line(completed, monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    (completed / ".review-old.html").write_text("of a review that was killed")
    server = Server(completed, browser=True)
    for _ in range(1200):
        if seen.exists() and seen.read_text():
            break
        time.sleep(0.05)
    given = seen.read_text().strip()
    assert server.token not in given and given.startswith("file://")
    page = Path(urlsplit(given).path)
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert f"url={server.address}" in page.read_text()
    assert list(completed.glob(".review-*.html")) == [page]
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert server.token.encode() not in line.read_bytes()
        except OSError:
            pass  # ended meanwhile
    server.stop()
    assert not page.exists()


def test_where_the_disk_keeps_no_secret_the_page_lies_elsewhere(completed, monkeypatch):
    real = Path.stat

    def stat_(path, **options):
        found = list(real(path, **options))
        if path.suffix == ".html" and path.parent == completed:
            found[0] |= 0o044
        return os.stat_result(found)

    monkeypatch.setattr("webbrowser.open", lambda address: None)
    monkeypatch.setattr(Path, "stat", stat_)
    page = open_browser("http://127.0.0.1:1/?token=x&<", completed)
    assert page.parent != completed and "token=x&amp;&lt;" in page.read_text()
    page.unlink()
    assert not list(completed.glob("*.html"))
