"""One model trained by two processes on this machine: they meet, agree and end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from beadseg.errors import BeadsegError
from beadseg.training import hosts

ROOT = Path(__file__).parents[2]
FIELDS = {
    "model__depth": 1,
    "train__epochs": 4,
    "train__steps_per_epoch": 8,
    "log__every": 4,
    "log__images_every": 0,
}
STEP = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "gpu[07-09,12],big1",
    "SLURM_JOB_ID": "815",
    "SLURM_STEP_ID": "0",
}


def test_srun_tells_each_process_its_place():
    places = [
        hosts.place(4, None, None, STEP | {"SLURM_PROCID": str(i)}) for i in range(4)
    ]
    assert [place.process for place in places] == [0, 1, 2, 3]
    (coordinator,) = {place.coordinator for place in places}
    node, port = coordinator.split(":")
    assert node == "gpu07" and 61440 <= int(port) < 65536


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a1", "a1"), ("a1,b2", "a1"), ("a[3,5]", "a3"), ("10.0.0.[1-2]", "10.0.0.1")],
)
def test_the_first_node_is_where_the_others_come(nodes, first):
    place = hosts.place(4, None, None, STEP | {"SLURM_STEP_NODELIST": nodes})
    assert place.coordinator.startswith(f"{first}:")


def test_steps_of_two_jobs_on_one_node_have_ports_of_their_own():
    found = {
        hosts.place(4, None, None, STEP | {"SLURM_JOB_ID": str(job)}).coordinator
        for job in range(20)
    }
    assert len(found) == 20


@pytest.mark.parametrize("rank", ["OMPI_COMM_WORLD", "PMI"])
def test_mpi_tells_the_number_and_the_coordinator_is_given(rank):
    environment = {f"{rank}_RANK": "1", f"{rank}_SIZE": "2"}
    assert hosts.place(2, None, "a:9", environment) == hosts.Place(1, 2, "a:9")


def test_what_is_given_comes_before_what_a_launcher_tells():
    assert hosts.place(2, 1, "a:9", STEP) == hosts.Place(1, 2, "a:9")


@pytest.mark.parametrize(
    ("given", "environment", "words"),
    [
        ((2, None, None), {}, "with --process=0 to 1 and --coordinator=HOST:PORT"),
        ((2, None, None), STEP, "srun has started 4: give both the same number"),
        ((2, 0, None), {}, "give --coordinator=HOST:PORT"),
        ((2, 2, "a:9"), {}, "--process=2: --processes=2 go from 0 to 1"),
        ((2, 0, "a"), {}, "--coordinator=a: give HOST:PORT"),
    ],
)
def test_a_place_that_cannot_be_is_answered_in_one_line(given, environment, words):
    with pytest.raises(BeadsegError) as error:
        hosts.place(*given, environment)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_alone_a_process_decides_for_itself():
    assert hosts.broadcast_from_primary(lambda: {"any": object}) == {"any": object}
    assert hosts.primary_first(lambda: 7) == 7
    stop = hosts.Stop()
    assert stop(None) is None
    assert stop(signal.SIGTERM) is signal.SIGTERM


class Processes:
    """Two that train one run; their output goes into files."""

    def __init__(self, command: list[str], folder: Path, *more: list[str]):
        port = _free_port()
        self.started, self._folder = [], folder
        for i in range(2):
            mine = [f"--process={i}", f"--coordinator=localhost:{port}"]
            mine += more[i] if more else []
            with open(folder / f"{i}", "w") as out, open(folder / f"e{i}", "w") as err:
                self.started.append(
                    subprocess.Popen(
                        [*command, "--processes=2", *mine],
                        env=_environment(1) | {"http_proxy": "http://127.0.0.1:9"},
                        stdout=out,
                        stderr=err,
                    )
                )

    def __getitem__(self, number: int) -> subprocess.Popen:
        return self.started[number]

    def codes(self) -> list[int]:
        return [process.wait(600) for process in self.started]

    def output(self, number: int) -> str:
        return (self._folder / f"{number}").read_text()

    def errors(self, number: int) -> list[str]:
        lines = (self._folder / f"e{number}").read_text().splitlines()
        assert "Traceback" not in "".join(lines), lines
        return [line for line in lines if line.startswith("error: ")]


@pytest.mark.slow
def test_two_processes_stopped_and_killed_end_with_the_bits_of_one(command, tmp_path):
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    alone = subprocess.run(
        command(whole), env=_environment(2), capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr

    processes = Processes(command(shared), tmp_path)
    _until_step(shared, 8, processes)
    processes[1].send_signal(signal.SIGTERM)  # the first is not told
    assert processes.codes() == [128 + signal.SIGTERM] * 2
    (line,) = processes.errors(0)
    saved = int(re.search("stopped by SIGTERM and saved at step ([0-9]+)", line)[1])
    assert (shared / "checkpoints" / str(saved)).is_dir()
    assert not processes.errors(1) and not processes.output(1)

    processes = Processes(command(shared), tmp_path)
    _until_step(shared, saved + 4, processes)
    processes[1].kill()
    assert processes.codes() == [1, -signal.SIGKILL]
    (line,) = processes.errors(0)
    assert "process 0 of 2: another has ended" in line

    alone = subprocess.run(
        command(shared), env=_environment(2), capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr
    assert _rows(shared) == _rows(whole)
    one, other = (np.load(path / "weights.npz") for path in (whole, shared))
    assert set(one.files) == set(other.files)
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.slow
def test_two_processes_come_to_an_end_and_one_writes(command, tmp_path):
    workdir = tmp_path / "run"
    fields = {"train__epochs": 1, "train__steps_per_epoch": 2}
    processes = Processes(command(workdir, **fields), tmp_path)
    assert processes.codes() == [0, 0]
    assert "validation Jaccard" in processes.output(0)
    assert not processes.output(1)
    assert json.loads((workdir / "summary.json").read_text())["final_epoch"] == 1
    again = Processes(command(workdir, **fields), tmp_path)
    assert again.codes() == [0, 0]
    assert "already finished" in again.output(0)

    other = ["--config.train.epochs=2"]
    processes = Processes(command(workdir, **fields), tmp_path, [], other)
    assert 0 not in processes.codes()
    (line,) = processes.errors(1)
    assert "process 1 of 2" in line and "train.epochs = 1, not 2" in line


@pytest.mark.slow
def test_an_error_of_all_is_said_once(command, tmp_path):
    fields = {"data__batch_size": 3}
    processes = Processes(command(tmp_path / "run", **fields), tmp_path)
    assert processes.codes() == [2, 2]
    (line,) = processes.errors(0)
    assert "config.data.batch_size = 3 cannot be shared by 2 devices" in line
    assert not processes.errors(1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"config": "sweep_seeds.py"}, "not a sweep"),
        ({"partial.self_training": 1}, "not config.partial.self_training"),
        ({}, "--coordinator=HOST:PORT"),
    ],
)
def test_what_one_process_must_do_is_refused(command, tmp_path, fields, words):
    done = subprocess.run(
        [*command(tmp_path / "run", **fields), "--processes=2"],
        env=_environment(1),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert words in line
    assert not (tmp_path / "run").exists()


def test_who_waits_in_vain_says_so_in_one_line():
    script = (
        "import sys\n"
        "from beadseg.training import hosts\n"
        "hosts.WAIT = 2\n"
        "with hosts.distributed_session(hosts.Place(int(sys.argv[1]), 2, "
        "sys.argv[2])):\n    pass\n"
    )
    for process in range(2):
        place = (str(process), f"localhost:{_free_port()}")
        done = subprocess.run(
            [sys.executable, "-c", script, *place],
            env=_environment(1) | {"http_proxy": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"process {process} of 2 has not met the others" in line


def test_a_port_that_another_program_has_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        place = hosts.Place(0, 2, f"localhost:{taken.getsockname()[1]}")
        with pytest.raises(BeadsegError, match=place.coordinator):
            with hosts.distributed_session(place):
                raise AssertionError


def _environment(devices: int) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": str(devices)}
    return os.environ | own


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _rows(workdir: Path) -> list[dict]:
    """Rows of metrics.jsonl without the times."""
    rows = []
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        timed = [k for k in row if k.startswith(("seconds", "images_per_second"))]
        rows.append({k: v for k, v in row.items() if k not in timed})
    return rows


def _until_step(workdir: Path, step: int, processes: Processes) -> None:
    while not (workdir / "metrics.jsonl").exists() or _step(workdir) < step:
        assert processes[0].poll() is None, processes.errors(0)
        time.sleep(0.01)


def _step(workdir: Path) -> int:
    rows = _rows(workdir)
    return rows[-1]["step"] if rows else 0
