"""The page in a real browser, and the server against those who should not be served."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import tifffile

from beadseg.errors import BeadsegError
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.server import serve
from beadseg.partial.review.session import ReviewSession

ROOT = Path(__file__).parents[2]


class Server:
    """`beadseg review` in a process of its own."""

    def __init__(self, folder: Path, stderr=None, browser: bool = False):
        self.folder = folder
        # Tests may run under nohup, whose wish is respected.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "beadseg.cli", "review", str(folder), "--port", "0"]
            + ([] if browser else ["--no-browser"]),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        line = self.process.stdout.readline()
        assert line.startswith("review page: "), line
        self.address = line.split(": ", 1)[1].strip()
        parts = urlsplit(self.address)
        self.host, self.token = parts.netloc, parts.query.removeprefix("token=")

    def ask(self, path, method="GET", body=None, token=None, **headers):
        """Status and content of a request that is sent exactly as it stands."""
        connection = http.client.HTTPConnection(self.host, timeout=90)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        headers["X-Token"] = self.token if token is None else token
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def act(self, action, version, name="a"):
        body = json.dumps({"action": action, "version": version})
        status, content = self.ask(f"/api/act/{name}", "POST", body)
        return status, json.loads(content)

    def stop(self, how=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(90)
        self.process.stdout.close()


@pytest.fixture
def server(completed):
    running = Server(completed)
    yield running
    running.stop()


def test_strangers_are_refused(server, completed):
    assert server.ask("/api/images")[0] == 200
    assert server.ask("/api/images", token="wrong")[0] == 403
    assert server.ask("/", token="")[0] == 403
    assert server.ask("/api/images", Origin="http://evil.example")[0] == 403
    assert server.ask("/api/images", Host="evil.example")[0] == 403
    assert server.ask("/api/images", Sec_Fetch_Site="cross-site")[0] == 403
    assert server.ask("/api/images", Origin=f"http://{server.host}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../person/a.tif",
        "/..%2fperson%2fa.tif",
        "/static/../server.py",
        "/server.py",
        "/api/image/..%2f..%2fetc%2fpasswd",
        "/api/image/../../etc/passwd",
        "/api/beads/%2e%2e",
        "/api/image/b",
    ],
)
def test_no_path_leads_out_of_the_folder(server, path):
    status, content = server.ask(path)
    assert status in (400, 404), content
    assert b"root:" not in content and b"import" not in content


def test_a_decision_about_an_old_state_and_nonsense_are_refused(server):
    status, answer = server.act({"do": "accept", "ids": [4]}, 0)
    assert status == 200 and answer["version"] == 1
    status, answer = server.act({"do": "reject", "ids": [4]}, 0)
    assert status == 409 and "another window" in answer["error"]
    assert server.act({"do": "accept", "ids": [99]}, 1)[0] == 400
    assert server.ask("/api/act/a", "POST", "no json")[0] == 400
    assert server.ask("/api/image/a?step=0")[0] == 400


def test_a_kill_at_any_moment_loses_no_decision_that_was_answered(completed):
    running = Server(completed)
    answered = 0
    for number in (4, 5, 6):
        status, _ = running.act({"do": "accept", "ids": [number]}, answered)
        answered += status == 200
    running.stop(signal.SIGKILL)  # masks are written in the background: now or never
    with (completed / "decisions" / "a.jsonl").open("ab") as log:
        log.write(b'{"do": "acc')  # as if the fourth had been under way
    annotations = AnnotationLog(completed, "a")
    assert answered == annotations.version == 3
    again = Server(completed)
    status, content = again.ask("/api/images")
    assert json.loads(content)["images"][0]["counts"]["accepted"] == 3
    assert again.act({"do": "undo"}, 3)[0] == 200
    again.stop()
    mask = tifffile.imread(completed / "masks" / "a.tif")
    assert set(np.unique(mask)) == {0, 1, 2, 3, 4, 5}


def test_an_image_that_is_done_is_complete_for_training(completed):
    running = Server(completed)
    assert running.act({"do": "reviewed", "value": True}, 0)[0] == 200
    running.stop()
    told = tomllib.loads((completed / "beads.toml").read_text())
    assert told["completeness"] == {"a": 1.0}
    told = json.loads((completed / "provenance" / "a.json").read_text())
    assert told["reviewed"] and told["completeness"] == 1.0


def test_ctrl_c_as_soon_as_the_address_is_told_ends_it(completed):
    for _ in range(3):
        running = Server(completed)
        running.stop()
        assert running.process.returncode == 0


def test_a_port_that_is_taken_and_a_folder_in_review_are_told(server, completed):
    with pytest.raises(BeadsegError, match="being reviewed by another"):
        ReviewSession(completed)
    server.stop()
    port = int(server.host.split(":")[1])
    other = http.client.socket.socket()
    other.bind(("127.0.0.1", port))
    other.listen()
    with pytest.raises(BeadsegError, match=f"port {port}.*--port"):
        serve(completed, port=port)
    other.close()


def test_a_full_disk_is_told_and_nothing_is_decided(completed, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    session = ReviewSession(completed)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = "No space left.*free space, then run"
        with pytest.raises(BeadsegError, match=said):
            session.decide("a", {"do": "accept", "ids": [4]}, 0)
    assert session.all_of("a")["version"] == 0
    assert session.decide("a", {"do": "accept", "ids": [5]}, 0)["version"] == 1
    session.close()
    assert [a["ids"] for a in AnnotationLog(completed, "a").log.actions] == [[5]]


def test_a_changed_image_is_left_out_and_told(completed):
    tifffile.imwrite(completed / "images" / "a.tif", np.zeros((9, 9), np.uint8))
    with pytest.raises(BeadsegError, match="has changed since"):
        ReviewSession(completed)


def open_page(browser, address):
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.goto(address)
    page.wait_for_selector("body[data-ready=a]")
    return page


def settled(page, version):
    page.wait_for_selector(f'body[data-version="{version}"]')


@pytest.mark.slow
def test_a_person_accepts_rejects_draws_and_undoes(browser, server, completed):
    page = open_page(browser, server.address)
    # It opens on the whole image, the most doubtful of .999, .97, .8 and .55 selected.
    assert page.evaluate("view.scale === wholeScale()")
    assert page.inner_text("#score b").startswith("0.550")
    page.keyboard.press("r")
    settled(page, 1)
    assert page.inner_text("#score b").startswith("0.800")
    page.keyboard.press("a")
    settled(page, 2)
    page.keyboard.press("0")
    page.fill("#above", "0.9")
    page.click("#accept-above")
    settled(page, 3)
    assert page.inner_text("#place") == "none left"
    page.keyboard.press("z")
    settled(page, 4)
    page.fill("#above", "1")
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.click("#reject-below")  # they are good ones: it asks, and does nothing on no
    assert asked[0].startswith("Reject 2 proposals? 2 of them have a score of 0.5")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#reject-below")  # both at once
    settled(page, 5)
    page.keyboard.press("z")
    settled(page, 6)
    page.keyboard.press("Z")
    page.keyboard.press("z")
    settled(page, 8)
    page.fill("#above", "0.9")
    page.click("#accept-above")
    settled(page, 9)
    page.keyboard.press("d")
    box = page.locator("#canvas").bounding_box()
    scale = 0.97 * min(box["width"] / 80, box["height"] / 64)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    x, y = middle[0] + (70 - 40) * scale, middle[1] + (20 - 32) * scale
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 5 * scale, y)
    page.mouse.up()
    settled(page, 10)
    annotations = AnnotationLog(completed, "a")
    states = {n: b.state for n, b in annotations.map.beads.items() if n > 3}
    assert states == {
        4: "accepted",
        5: "accepted",
        6: "accepted",
        7: "rejected",
        8: "kept",
    }
    rows, columns = np.nonzero(annotations.map.labels == 8)
    assert abs(rows.mean() - 19.5) < 1 and abs(columns.mean() - 69.5) < 1
    assert abs(np.sqrt(len(rows) / np.pi) - 5) < 0.7
    page.keyboard.press("z")
    settled(page, 11)
    # With the keyboard alone: the cross, moved, and put down.
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    settled(page, 12)
    page.keyboard.press("Enter")
    settled(page, 13)
    assert AnnotationLog(completed, "a").reviewed
    assert page.inner_text("#saved") == "saved"
    assert not page.problems


@pytest.mark.slow
def test_next_leads_to_proposals_wherever_they_are(browser, completed):
    for kind in ("images", "person", "proposals"):
        file = completed / kind / "a.tif"
        file.with_name("b.tif").write_bytes(file.read_bytes())
    about = (completed / "proposals" / "a.json").read_text()
    (completed / "proposals" / "b.json").write_text(about.replace("a.tif", "b.tif"))
    running = Server(completed)
    try:
        page = open_page(browser, running.address)
        page.keyboard.press("n")
        assert page.inner_text("#place") == "2 of 4"  # here, as long as there are any
        page.keyboard.press("0")
        page.fill("#above", "1")
        page.once("dialog", lambda dialog: dialog.accept())
        page.click("#reject-below")
        settled(page, 1)
        assert page.inner_text("#place") == "none left"
        page.keyboard.press("n")
        page.wait_for_selector("body[data-ready=b]")
        # Zoomed in, a bead on the right is shown without the dark beside the image.
        for _ in range(3):
            page.keyboard.press("+")
        page.keyboard.press("p")
        page.keyboard.press("n")
        shown = page.evaluate("[view.x, view.x + canvas.width / view.scale]")
        assert 20 < shown[0] < shown[1] <= 80 + 1e-6
        assert not page.problems
    finally:
        running.stop()


@pytest.mark.slow
def test_the_second_window_is_told(browser, server, completed):
    first, second = (open_page(browser, server.address) for _ in range(2))
    first.keyboard.press("a")
    settled(first, 1)
    second.keyboard.press("r")
    second.wait_for_selector("#banner:not([hidden])")
    assert "another window" in second.inner_text("#banner")
    assert AnnotationLog(completed, "a").version == 1
    second.click("#banner button")
    second.wait_for_selector("body[data-ready=a]")
    second.keyboard.press("r")
    settled(second, 2)
    server.stop(signal.SIGKILL)
    second.keyboard.press("a")
    second.wait_for_selector("#banner:not([hidden])")
    assert "does not answer" in second.inner_text("#banner")
    assert AnnotationLog(completed, "a").version == 2
