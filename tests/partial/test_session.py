"""The review session: damage stays with its image, and one is open at a time."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tifffile

import beadseg
from beadseg.errors import BeadsegError
from beadseg.partial.review.session import ReviewSession

PACKAGE = Path(beadseg.__file__).parent


def about(**changes):
    def spoil(folder):
        file = folder / "proposals" / "a.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return spoil


def bead(number="4", score=0.9):
    return about(beads={number: {"score": score, "reason": ""}})


def cut(where, share=0.5):
    def spoil(folder):
        file = folder / where
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])

    return spoil


def write(where, content):
    return lambda folder: (folder / where).write_bytes(content)


def labels(where, array):
    return lambda folder: tifffile.imwrite(folder / where, array)


def pipe(where):
    def spoil(folder):
        (folder / where).unlink(missing_ok=True)
        os.mkfifo(folder / where)

    return spoil


DAMAGE = {
    "a mask from a pipe": pipe("person/a.tif"),
    "proposals from a pipe": pipe("proposals/a.tif"),
    "said by a pipe": pipe("proposals/a.json"),
    "decided by a pipe": pipe("decisions/a.jsonl"),
    "an image from a pipe": pipe("images/a.tif"),
    "decided by a folder": lambda folder: (folder / "decisions" / "a.jsonl").mkdir(),
    "half a mask": cut("person/a.tif"),
    "no mask": lambda folder: (folder / "person" / "a.tif").unlink(),
    "a mask in colour": labels("person/a.tif", np.zeros((64, 80, 3), np.uint8)),
    "a mask of fractions": labels("person/a.tif", np.zeros((64, 80), np.float32)),
    "a smaller mask": labels("person/a.tif", np.zeros((9, 9), np.int32)),
    "most of the proposals": cut("proposals/a.tif", 0.9),
    "unknown proposals": labels("proposals/a.tif", np.full((64, 80), 99, np.int32)),
    "half of what is said": cut("proposals/a.json"),
    "nothing said": write("proposals/a.json", b""),
    "zeros said": write("proposals/a.json", bytes(500)),
    "brackets said": write("proposals/a.json", b"[" * 200_000),
    "no bytes of text": write("proposals/a.json", b"\xff" * 30),
    "a score of nothing": bead(score=float("nan")),
    "a score of 7": bead(score=7),
    "a person's number": bead("1"),
    "a number of letters": bead("4x"),
    "a number beyond all": bead("9" * 30),
    "a threshold of letters": about(threshold="x"),
    "a stack of nothing": about(stack=[]),
    "beads in a list": about(beads=[]),
    "no run": about(run=None),
    "an image above": about(image=".."),
    "a changed image": labels("images/a.tif", np.zeros((64, 80), np.uint16)),
    "no image": lambda folder: (folder / "images" / "a.tif").unlink(),
    "half a decision": write("decisions/a.jsonl", b'{"do": "acc\n'),
    "a changed key": write("decisions/a.jsonl", b'{"d0": "accept", "ids": [4]}\n'),
    "no such bead": write("decisions/a.jsonl", b'{"do": "accept", "ids": [999]}\n'),
    "a huge number": write(
        "decisions/a.jsonl", b'{"do": "draw", "y": 1%s}\n' % (b"0" * 400)
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_stays_with_its_image(pair, kind):
    DAMAGE[kind](pair)
    ours = [p for p in pair.glob("*/a.*") if p.is_file()]
    before = {p: p.read_bytes() for p in ours}
    session = ReviewSession(pair)
    images, _ = session.listing()
    assert "b" in [image["name"] for image in images]
    with pytest.raises(BeadsegError) as raised:
        session.all_of("a")
    said = str(raised.value)
    assert "\n" not in said and "a." in said and str(pair) in said
    assert not re.search("delete|remove|begin again", said)
    with pytest.raises(BeadsegError):
        session.decide("a", {"do": "accept", "ids": [4]}, 0)
    images, problems = session.listing()
    assert [image["name"] for image in images][-1] == "b" and problems == [said]
    session.decide("b", {"do": "accept", "ids": [4]}, 0)
    session.decide("b", {"do": "reviewed", "value": True}, 1)
    result = session.close()
    assert result["problems"] == [said] and result["reviewed"] == 1
    told = tomllib.loads((pair / "beads.toml").read_text())
    assert told["completeness"] == {"b": 1.0}
    assert set(np.unique(tifffile.imread(pair / "masks" / "b.tif"))) == {0, 1, 2, 3, 4}
    assert before == {p: p.read_bytes() for p in ours}


def test_what_a_kill_left_is_removed_when_the_next_review_begins(pair):
    end = "4242.1852661613162"
    left = [pair / f".beads.toml.{end}", pair / f"masks/.a.tif.{end}"]
    left += [pair / f"provenance/.b.json.{end}"]
    for file in left:
        file.write_text("half")
    ReviewSession(pair).close()
    assert not any(file.exists() for file in left)


def test_what_is_put_back_is_shown_without_a_new_start(pair):
    files = ("person/a.tif", "proposals/a.json", "images/a.tif")
    for where in files:
        content = (pair / where).read_bytes()
        (pair / where).write_bytes(content[:40])
        session = ReviewSession(pair)
        with pytest.raises(BeadsegError, match=where):
            session.all_of("a")
        (pair / where).write_bytes(content)
        assert session.all_of("a")["version"] == 0
        assert session.close()["problems"] == []


def test_what_is_done_is_told_and_taken_back_in_beads_toml(pair):
    file = pair / "beads.toml"
    file.write_text("# ours\ncompleteness.b = 1.0 # by eye\npixel_size = 0.5\n")
    session = ReviewSession(pair)
    session.decide("a", {"do": "reviewed", "value": True}, 0)
    session.save()
    both = '# ours\ncompleteness.b = 1.0 # by eye\ncompleteness."a" = 1.0\n'
    assert tomllib.loads(file.read_text()) == tomllib.loads(both + "pixel_size = 0.5")
    session.decide("a", {"do": "reviewed", "value": False}, 1)
    session.close()
    assert file.read_text().startswith("# ours\ncompleteness.b = 1.0 # by eye\n")
    assert tomllib.loads(file.read_text())["completeness"] == {"b": 1.0}
    ReviewSession(pair).close()
    assert tomllib.loads(file.read_text())["completeness"] == {"b": 1.0}


@pytest.mark.parametrize(
    "text", ["[completeness\n", "completeness = 'half'\n", "what = 1\n"]
)
def test_a_beads_toml_that_is_wrong_keeps_nothing_from_being_saved(pair, text):
    (pair / "beads.toml").write_text(text)
    session = ReviewSession(pair)
    session.decide("a", {"do": "accept", "ids": [4]}, 0)
    session.decide("b", {"do": "reviewed", "value": True}, 0)
    result = session.close()
    assert len(result["problems"]) == 1 and "beads.toml" in result["problems"][0]
    assert (pair / "beads.toml").read_text() == text
    assert 4 in tifffile.imread(pair / "masks" / "a.tif")


WITHOUT = """
import sys
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
import signal
del signal.SIGHUP
from pathlib import Path
from beadseg.errors import BeadsegError
from beadseg.partial.review.session import ReviewSession
import beadseg.partial.review.server, beadseg.partial.review.browser
folder = Path(sys.argv[1])
session = ReviewSession(folder)
try:
    ReviewSession(folder)
except BeadsegError as error:
    print(error)
session.decide("a", {"do": "accept", "ids": [4]}, 0)
session.close()
ReviewSession(folder).close()
"""


def test_it_works_and_locks_where_python_has_no_fcntl(pair):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT, str(pair)],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "being reviewed by another" in done.stdout
    assert 4 in tifffile.imread(pair / "masks" / "a.tif")


def test_no_module_imports_what_windows_lacks():
    lacking = {"fcntl", "pwd", "grp", "resource", "termios", "pty", "syslog"}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:  # what runs at import
            names = [a.name for a in getattr(node, "names", ())]
            assert not lacking & {*names, getattr(node, "module", None)}, file
