"""Decisions on disks that are full, fail or are pulled, and files damaged since."""

import errno
import json
import os
import re
import resource
import shutil

import numpy as np
import pytest
import tifffile

from beadseg.errors import BeadsegError
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.derived import saving, stands
from beadseg.partial.review.session import ReviewSession

REFUSED = {"do": "draw", "y": 20, "x": 68, "ry": 5, "rx": 5}
NEXT = [
    {"do": "draw", "y": 55, "x": 70, "ry": 4, "rx": 4},
    {"do": "accept", "ids": [5]},
]
SIZE = len(json.dumps(REFUSED)) + 1


def same(one: AnnotationLog, other: AnnotationLog) -> bool:
    arrays = np.array_equal(one.map.labels, other.map.labels)
    return arrays and one.map.beads == other.map.beads and one.version == other.version


@pytest.mark.parametrize("room", [0, 1, SIZE // 2, SIZE - 1])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_disk_that_is_full_anywhere_in_a_line_keeps_nothing_of_it(
    completed, before, room
):
    log = completed / "decisions" / "a.jsonl"
    annotations = AnnotationLog(completed, "a")
    for number in range(before):
        annotations.act({"do": "accept", "ids": [4 + number]})
    content = log.read_bytes() if before else b""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) + room, limits[1]))
    try:
        for _ in range(2):
            with pytest.raises(OSError) as raised:
                annotations.act(REFUSED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert log.read_bytes() == content and annotations.version == before
    for action in NEXT:
        annotations.act(action)
    assert (
        same(AnnotationLog(completed, "a"), annotations)
        and annotations.version == before + 2
    )


@pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT, errno.ENOSPC])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_decision_that_does_not_reach_the_disk_is_in_no_file(
    completed, monkeypatch, code, times
):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]})
    real, left = os.fsync, [code] * times

    def fsync(descriptor):
        if left:
            raise OSError(left.pop(), "failed")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError):
        annotations.act(REFUSED)
    assert AnnotationLog(completed, "a").version == 1
    while left:
        with pytest.raises(OSError):
            annotations.act(REFUSED)
    for action in [REFUSED, *NEXT]:
        annotations.act(action)
    assert same(AnnotationLog(completed, "a"), annotations) and annotations.version == 4


def test_what_cannot_even_be_cut_off_is_cut_off_by_the_next_line(
    completed, monkeypatch
):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]})
    log = completed / "decisions" / "a.jsonl"
    whole = log.read_bytes()
    with log.open("ab") as file:
        file.write(b'{"do": "acc')
    annotations = AnnotationLog(completed, "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "bad")))
        with pytest.raises(OSError):
            annotations.act(REFUSED)
    annotations.act({"do": "undo"})
    assert log.read_bytes() == whole + b'{"do": "undo"}\n'


def test_a_log_cut_anywhere_in_its_last_line_loses_that_line_at_most(completed):
    annotations = AnnotationLog(completed, "a")
    for action in ({"do": "accept", "ids": [4]}, REFUSED):
        annotations.act(action)
    log = completed / "decisions" / "a.jsonl"
    whole = log.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        log.write_bytes(whole[:end])
        cut = AnnotationLog(completed, "a")
        assert cut.version == 1 + (end == len(whole) - 1)
        assert log.read_bytes() == whole[:end]  # who reads writes nothing
        cut.act({"do": "reject", "ids": [7]})
        assert same(AnnotationLog(completed, "a"), cut)
        assert log.read_bytes().startswith(whole[:first])
    for tail in (b"\0" * 300, b"\xff\xfe", b"[1, 2]", b"7"):
        log.write_bytes(whole + tail)
        after = AnnotationLog(completed, "a")
        after.act({"do": "undo"})
        assert log.read_bytes() == whole + b'{"do": "undo"}\n'


def test_a_line_of_another_program_is_kept(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]})
    log = completed / "decisions" / "a.jsonl"
    with log.open("ab") as file:
        file.write(b'{"do": "undo"}\n')
    content = log.read_bytes()
    with pytest.raises(BeadsegError, match="another program"):
        annotations.act(REFUSED)
    log.write_bytes(b"")
    with pytest.raises(BeadsegError, match="another program"):
        annotations.act(REFUSED)
    assert log.read_bytes() == b"" and annotations.version == 1 and content


def flipped(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new, 1)


DAMAGE = {
    "a line": lambda log: flipped(log, b'"accept"', b'"accept'),
    "a key": lambda log: flipped(log, b'"ids"', b'"ibs"'),
    "do": lambda log: flipped(log, b'"do"', b'"to"'),
    "a number": lambda log: flipped(log, b"[5]", b"[4]"),
    "a radius": lambda log: flipped(log, b'"rx": 5', b'"rx": 7'),
    "an optional key": lambda log: flipped(log, b'"turn"', b'"tern"'),
    "a byte": lambda log: flipped(log, b"accept", b"acc\xffpt"),
    "a line end": lambda log: flipped(log, b"\n", b"\x0e"),
    "zeros": lambda log: b"\0" * 40 + log[40:],
    "no object": lambda log: b"[]\n" + log,
    "a list": lambda log: flipped(log, b'"accept"', b'["acce"]'),
    "brackets": lambda log: 200_000 * b"[" + b"\n" + log,
    "the last line": lambda log: log[: log[:-1].rindex(b"\n") + 1],
    "all": lambda log: b"",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_line_and_takes_nothing(completed, kind):
    annotations = AnnotationLog(completed, "a")
    for action in (NEXT[1], REFUSED | {"turn": 0.5}, {"do": "accept", "ids": [6]}):
        annotations.act(action)
    saving(annotations)()
    log = completed / "decisions" / "a.jsonl"
    log.write_bytes(DAMAGE[kind](log.read_bytes()))
    files = {p: p.read_bytes() for p in completed.rglob("*") if p.is_file()}
    with pytest.raises(BeadsegError, match="decisions/a.jsonl") as raised:
        AnnotationLog(completed, "a")
    said = str(raised.value)
    assert "\n" not in said and not re.search("delete|remove|begin again", said)
    assert files == {p: p.read_bytes() for p in completed.rglob("*") if p.is_file()}


def derived(folder):
    kinds = ("masks", "ignore", "provenance")
    return {p: p.read_bytes() for kind in kinds for p in (folder / kind).iterdir()}


def killed_after(kind):
    """Of what is derived, the files up to `kind` are new, the rest is old."""

    def spoil(folder, old):
        order = ("masks", "ignore", "provenance")
        for late in order[order.index(kind) + 1 :] if kind else order:
            file = next((folder / late).iterdir())
            file.write_bytes(old[file])

    return spoil


def lost(kind):
    return lambda folder, old: shutil.rmtree(folder / kind)


def cut(kind):
    def spoil(folder, old):
        file = next((folder / kind).iterdir())
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return spoil


STALE = {
    "killed before masks": killed_after(None),
    "killed after masks": killed_after("masks"),
    "killed after ignore": killed_after("ignore"),
    "no masks": lost("masks"),
    "no ignore": lost("ignore"),
    "no provenance": lost("provenance"),
    "half a mask": cut("masks"),
    "half an ignore": cut("ignore"),
    "half a provenance": cut("provenance"),
}


@pytest.mark.parametrize("kind", STALE)
def test_what_is_derived_is_made_to_stand_for_all_decisions(completed, kind):
    annotations = AnnotationLog(completed, "a")
    saving(annotations)()
    old = derived(completed)
    for action in [REFUSED, *NEXT]:
        annotations.act(action)
    saving(annotations)()
    right = derived(completed)
    STALE[kind](completed, old)
    session = ReviewSession(completed)
    assert session.close()["problems"] == []
    assert derived(completed) == right
    assert stands(completed, "a")["decisions"] == 3


def test_a_mask_that_somebody_edited_is_set_aside(completed):
    saving(AnnotationLog(completed, "a"))()
    mask = completed / "masks" / "a.tif"
    right = mask.read_bytes()
    tifffile.imwrite(mask, np.full((64, 80), 9, np.uint16))
    ReviewSession(completed).close()
    assert mask.read_bytes() == right
    (kept,) = (completed / "changed" / "masks").iterdir()
    assert (tifffile.imread(kept) == 9).all()
