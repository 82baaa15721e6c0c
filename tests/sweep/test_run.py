"""A whole sweep: killed and gone on with, shared, and on a machine that fails."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from beadseg.errors import BeadsegError
from beadseg.sweep import run as sweep_run
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.points import over
from beadseg.sweep.queue import Queue
from beadseg.sweep.run import run_sweep
from beadseg.training.run import Run
from tests.bench.domain_shift.together import together

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("sweep_of_three.py")


@pytest.fixture
def command(tmp_path):
    """The command line of the sweep of three, or of a plain run of its config."""

    def build(workdir: str, *flags: str, config: Path = CONFIG) -> list[str]:
        return [
            *(sys.executable, "-m", "beadseg.main", f"--config={config}"),
            f"--workdir={tmp_path / workdir}",
            f"--config.data.cache_dir={tmp_path / 'cache'}",
            *flags,
        ]

    return build


def start(command: list[str]) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=environment,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def lines(sweep: Path, member: int) -> list[dict]:
    """Rows of a member without the times; a last one may be torn by a kill."""
    file = sweep / "members" / f"{member:03d}" / "metrics.jsonl"
    found = file.read_text().splitlines() if file.exists() else []
    rows = [json.loads(line) for line in found if line.endswith("}")]
    timed = ("seconds", "images_per_second")
    return [{k: v for k, v in r.items() if not k.startswith(timed)} for r in rows]


def weights(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "weights.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.slow
def test_killed_and_shared_a_sweep_ends_as_one_that_was_not(command, tmp_path):
    """Also: one member ends alone, and a member equals its own plain run."""
    told = finish(start(command("whole")))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert "member 2 ended alone:" in told and "not finite at step" in told
    process = start(command("killed"))
    while not any(r["kind"] == "validation" for r in lines(killed, 1)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    pair = [start(command("killed", f"--task={i}", "--tasks=2")) for i in (0, 1)]
    for process in pair:
        finish(process)
    board = (whole / "leaderboard.csv").read_text()
    ended = (killed / "leaderboard.csv").read_text().replace("/killed/", "/whole/")
    assert ended == board
    assert [line.split(",")[2] for line in board.splitlines()[1:]] == [
        *("finished", "finished", "failed")
    ]
    plain = tmp_path / "plain.py"  # the same config file without its sweep
    plain.write_text(CONFIG.read_text().split("def sweep")[0])
    rate = "--config.optim.learning_rate=3e-3"
    finish(start(command("plain", rate, config=plain)))
    for member in (0, 1):
        assert lines(killed, member) == lines(whole, member)
    expected = weights(tmp_path / "plain")
    found = weights(whole / "members" / "001")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    assert (whole / "report.html").read_text().count("<figure") == 2


@pytest.fixture
def small(tiny):
    tiny.model.depth, tiny.train.epochs = 1, 1
    return tiny


def test_too_little_memory_halves_the_members_and_names_one_that_never_fits(
    small, tmp_path, monkeypatch, capsys
):
    take, opened = Run.train_step, []

    def limited(run, batch):
        if run.member == 2 or len(opened) > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        take(run, batch)

    begin, close = Run.__init__, Run.close
    monkeypatch.setattr(Run, "train_step", limited)
    monkeypatch.setattr(
        Run,
        "__init__",
        lambda self, *a, **k: (opened.append(1), begin(self, *a, **k))[1],
    )
    monkeypatch.setattr(Run, "close", lambda self: (opened.pop(), close(self))[1])
    points = over("seed", 0, 1, 2)
    found = run_sweep(small, points, tmp_path / "sweep", "test")
    assert [(r.member, r.state) for r in found.results[2:]] == [(2, "failed")]
    assert "no memory for this member even alone" in found.results[2].reason
    assert [r.state for r in found.results[:2]] == ["finished", "finished"]
    assert (
        "no memory for 3 members at once: continuing with 1" in capsys.readouterr().err
    )


def test_a_shared_folder_that_vanishes_is_waited_for(small, tmp_path, monkeypatch):
    take, failures = Run.train_step, [OSError(116, "Stale file handle")] * 2

    def sometimes(run, batch):
        if failures:
            raise BeadsegError("cannot be written") from failures.pop()
        take(run, batch)

    monkeypatch.setattr(Run, "train_step", sometimes)
    monkeypatch.setattr(sweep_run, "_PAUSE", 0.0)
    found = run_sweep(small, over("seed", 0, 1), tmp_path / "sweep", "test")
    assert [r.state for r in found.results] == ["finished", "finished"]


def test_a_sleeper_that_lost_all_its_members_lets_go_of_them(
    small, tmp_path, monkeypatch
):
    taken_over, hours = [True, False], itertools.count(0.0, 3600.0)  # after a nap

    def let_go(queue, members):
        gone = list(members) if taken_over and taken_over.pop() else []
        for member in gone:
            queue._claims.release(member)
        return gone

    clock = SimpleNamespace(
        time=lambda: next(hours), monotonic=time.monotonic, sleep=time.sleep
    )
    monkeypatch.setattr(sweep_run, "time", clock)
    monkeypatch.setattr(Queue, "let_go", let_go)
    found = run_sweep(small, over("seed", 0, 1), tmp_path / "sweep", "test")
    assert not taken_over
    assert [r.state for r in found.results] == ["finished", "finished"]


def test_members_together_score_as_each_where_all_are_the_same(small, tmp_path):
    """And alone as their summaries say. Pictures are drawn only if asked for."""
    small.log.images_every = 0
    points = over("seed", 0, 1)
    found = run_sweep(small, points, tmp_path / "sweep", "test")
    runs = [tmp_path / "sweep" / "members" / f"00{i}" for i in range(2)]
    for result in found.results:
        run = runs[result.member]
        scores = together([run, run])
        assert scores["together"] == pytest.approx(scores["alone"])
        assert scores["alone"]["best"] == pytest.approx(result.jaccard, abs=1e-6)
        assert not list(run.glob("*.png"))
    both = together(runs)["alone"]["best"]
    assert both == pytest.approx(np.mean([r.jaccard for r in found.results]), abs=1e-6)


@pytest.mark.parametrize("where", ["members", "claims"])
def test_what_lies_where_a_folder_should_is_not_waited_for(small, tmp_path, where):
    SweepFolder(tmp_path / "sweep", "test", small, over("seed", 0, 1))
    (tmp_path / "sweep" / where).symlink_to(where)  # in a circle
    with pytest.raises(BeadsegError, match=f"{where}.* cannot be written"):
        run_sweep(small, over("seed", 0, 1), tmp_path / "sweep", "test")


def test_a_full_disk_is_not_waited_for(small, tmp_path, monkeypatch):
    def full(run, batch):
        raise BeadsegError("cannot be written") from OSError(28, "No space left")

    monkeypatch.setattr(Run, "train_step", full)
    with pytest.raises(BeadsegError, match="cannot be written"):
        run_sweep(small, over("seed", 0, 1), tmp_path / "sweep", "test")
