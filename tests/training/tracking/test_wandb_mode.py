"""W&B online or offline: decided once a process, within seconds, whatever answers."""

import http.server
import json
import re
import threading
import time

import pytest

from beadseg.training.tracking import wandb_mode
from beadseg.training.tracking.wandb_mode import ask_early, give_up, mode_of

LIMIT = 5.5  # s


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """A process that has not asked yet, of a user without a login."""
    monkeypatch.setattr(wandb_mode, "_answer", wandb_mode._Answer())
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def serve(monkeypatch):
    """Starts a server that answers so, and lets W&B's be there."""
    servers = []

    def start(status=200, body="", wait=0.0):
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                asked.append((self.path, self.headers, self.rfile.read(length)))
                time.sleep(wait)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


KNOWN = json.dumps({"data": {"viewer": {"id": "me"}}})
UNKNOWN = json.dumps({"data": {"viewer": None}})


def test_a_server_that_knows_the_user_is_used(serve):
    asked = serve(body=KNOWN)
    assert mode_of("auto") == "online"
    assert mode_of("online") == "online"
    assert len(asked) == 1
    assert asked[0][0] == "/graphql"
    assert asked[0][1]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"body": UNKNOWN}, "no login"),
        ({"body": "<html>log in to the hotel</html>"}, "is not W&B"),
        ({"body": "[]"}, "is not W&B"),
        ({"status": 401}, "refuses the key"),
        ({"status": 403, "body": KNOWN}, "refuses the key"),
        ({"status": 502, "body": KNOWN}, "answers 502"),
        ({"body": KNOWN, "wait": 30.0}, "no answer within|does not answer"),
    ],
)
def test_whatever_else_answers_keeps_the_process_offline(answer, says, serve, capsys):
    serve(**answer)
    started = time.monotonic()
    assert mode_of("auto") == "offline"
    assert time.monotonic() - started < LIMIT
    started = time.monotonic()
    assert mode_of("auto") == mode_of("online") == "offline"
    assert time.monotonic() - started < 0.1
    (line,) = capsys.readouterr().err.splitlines()  # said once
    assert "wandb sync" in line
    assert re.search(says, line)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9",  # refuses
        "http://no-such-host.invalid",
        "https://127.0.0.1:1/base",
        "http://[::1]:9",
        "not a url",
    ],
)
def test_a_server_that_is_not_there_is_offline_soon(url, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    started = time.monotonic()
    assert mode_of("auto") == "offline"
    assert time.monotonic() - started < LIMIT
    assert "cannot start online" in capsys.readouterr().err


def test_asked_early_the_answer_costs_no_time(serve):
    serve(body=KNOWN, wait=1.0)
    ask_early("auto")
    time.sleep(1.5)  # data are opened, programs compiled
    started = time.monotonic()
    assert mode_of("auto") == "online"
    assert time.monotonic() - started < 0.2


def test_what_fails_later_keeps_the_rest_offline_too(serve, capsys):
    serve(body=KNOWN)
    assert mode_of("auto") == "online"
    give_up("the run was refused")
    give_up("again")
    assert mode_of("auto") == "offline"
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("configured", "environment", "mode"),
    [
        ("auto", None, "offline"),
        ("auto", "offline", "offline"),
        ("auto", "dryrun", "offline"),
        ("auto", "disabled", "off"),
        ("offline", "online", "offline"),
        ("off", "online", "off"),
    ],
)
def test_nobody_is_asked_without_a_login_or_a_wish(
    configured, environment, mode, monkeypatch
):
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    monkeypatch.setattr(wandb_mode, "_why_not", lambda: pytest.fail("asked"))
    ask_early(configured)
    assert mode_of(configured) == mode
    assert wandb_mode._answer._thread is None


@pytest.mark.parametrize(
    "netrc",
    [
        "machine api.wandb.ai\n  login user\n  password secret\n",
        "machine elsewhere login a password b\nmachine api.wandb.ai login u password s",
    ],
)
def test_a_login_is_found_where_wandb_keeps_it(netrc, tmp_path):
    (tmp_path / ".netrc").write_text(netrc)
    (tmp_path / ".netrc").chmod(0o600)
    assert wandb_mode._key() in ("secret", "s")
    assert wandb_mode._wanted("auto") == "online"


@pytest.mark.parametrize("netrc", ["", "machine", "machine else login a password b"])
def test_no_login_is_none(netrc, tmp_path):
    (tmp_path / ".netrc").write_text(netrc)
    assert wandb_mode._key() is None
    assert wandb_mode._wanted("auto") == "offline"
