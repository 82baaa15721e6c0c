"""Claims between objects and processes that share a folder."""

import json
import os
import subprocess
import sys
import time

import pytest

from beadseg.sweep.claims import Claims

ABROAD = {"host": "elsewhere", "machine": "x", "namespace": "y", "pid": 1}


@pytest.fixture
def pair(tmp_path):
    with Claims(tmp_path, 60) as first, Claims(tmp_path, 60) as second:
        yield first, second


def test_one_of_two_gets_a_member_and_the_other_after_it_let_go(pair):
    first, second = pair
    assert first.take(3)
    assert not second.take(3)
    assert second.take(4)
    assert first.owner(3)["pid"] == os.getpid()
    first.release(3)
    assert first.owner(3) is None
    assert second.take(3)
    assert not second.lost(3)


def test_leaving_the_context_lets_go(tmp_path):
    with Claims(tmp_path, 60) as first:
        assert first.take(0)
    with Claims(tmp_path, 60) as second:
        assert second.take(0)


def test_an_owner_abroad_is_trusted_for_a_lease_and_notices_when_it_has_lost(tmp_path):
    with Claims(tmp_path, 60) as away, Claims(tmp_path, 60) as here:
        away._me = ABROAD
        assert away.take(0)
        claim = away._held[0]
        old = time.time() - 50
        os.utime(claim, (old, old))
        assert not here.take(0)
        assert here.silent([0])
        old = time.time() - 61
        os.utime(claim, (old, old))
        assert here.take(0)
        assert away.lost(0) and not here.lost(0)


def test_signs_of_life_keep_a_claim(tmp_path):
    with Claims(tmp_path, 0.6) as away, Claims(tmp_path, 0.6) as here:
        away._me = ABROAD
        assert away.take(0)
        time.sleep(1.2)
        assert not here.take(0)


def test_the_clock_of_this_machine_is_not_asked(pair, monkeypatch):
    first, second = pair
    first._me = ABROAD
    assert first.take(0)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not second.take(0)


def test_a_process_of_this_machine_that_was_killed_is_noticed_at_once(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from beadseg.sweep.claims import Claims\n"
        "with Claims(Path(sys.argv[1]), 60) as claims:\n"
        "    assert claims.take(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -9
    with Claims(tmp_path, 60) as here:
        assert json.loads((tmp_path / "000.0").read_text())["pid"] != os.getpid()
        assert here.take(0)


def test_many_processes_share_out_members_and_none_is_claimed_twice(tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        "from beadseg.sweep.claims import Claims\n"
        "with Claims(Path(sys.argv[1]), 60) as claims:\n"
        "    print([m for m in range(100) if claims.take(m)], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    taken = [json.loads(p.stdout.readline()) for p in processes]
    for process in processes:
        process.communicate()
    assert sorted(m for members in taken for m in members) == list(range(100))
