"""How commands end where they cannot go on: one line, and the exit code says why."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HELP = [sys.executable, "-m", "beadseg", "help", "data"]
STOPPED = """
import signal, time
from beadseg.errors import ending
signal.signal(signal.SIGINT, signal.default_int_handler)  # not so in the background
with ending("stopped"):
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
"""

COLLECTED = """
import gc, signal, time
from beadseg.errors import ending
def interrupt(phase, _):
    if phase == "start" and not came:
        came.append(phase)
        signal.raise_signal(signal.SIGINT)
        print("collected", flush=True)
came = []
signal.signal(signal.SIGINT, signal.default_int_handler)
gc.callbacks.append(interrupt)
with ending("stopped"):
    try:
        gc.collect()
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
"""


def test_what_is_printed_onto_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        ran = subprocess.run(HELP, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: No space left on device")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("shut", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_what_is_shut_is_printed_nothing_to(shut):
    ran = subprocess.run(
        ["bash", "-c", f'"$@" {shut}', "bash", *HELP], capture_output=True, text=True
    )
    assert ran.returncode == 0 and ran.stderr == ""
    assert (ran.stdout == "") == (">&-" in shut.split())


@pytest.mark.parametrize("stream", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_result_may_go_to_a_stream(stream, tmp_path):
    with open(tmp_path / "out", "w") as out:
        buffered = os.environ | {"PYTHONUNBUFFERED": ""}
        ran = subprocess.run([*HELP, "--json", stream], stdout=out, env=buffered)
    told = (tmp_path / "out").read_text()
    assert ran.returncode == 0 and "data" in json.loads(told[told.index("\n{") :])
    assert os.path.islink("/dev/stdout")


def test_a_result_onto_a_full_disk_is_one_line():
    ran = subprocess.run([*HELP, "--json", "/dev/full"], capture_output=True, text=True)
    assert ran.returncode == 2 and not os.path.isfile("/dev/full")
    assert ran.stderr.startswith("error: /dev/full: cannot be written (No space left")
    assert len(ran.stderr.splitlines()) == 1


# Ctrl-C is heard: a shell has its background jobs ignore it, and tests may be one.
LOADED = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_go_of_what_is_half_done(number):
    command = [sys.executable, "-c", STOPPED]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=50)
    assert (out, errors) == ("cleaned\n", "stopped\n")
    assert process.returncode in (128 + number, -number)


def test_a_signal_ends_what_nobody_listens_to(tmp_path):
    command = [sys.executable, "-c", STOPPED]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.readline()
        process.stderr.close()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"cleaned\n"
    assert process.returncode == -signal.SIGTERM


def test_a_file_that_fails_where_nobody_looked_is_named():
    code = "from beadseg.errors import ending\nwith ending(''): open('gone/a')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: gone/a: No such file or directory: ")
    assert len(ran.stderr.splitlines()) == 1


def test_ctrl_c_while_garbage_is_collected_is_not_forgotten():
    """jax has a callback in which Python prints and forgets what is raised."""
    ran = subprocess.run(
        [sys.executable, "-c", COLLECTED], capture_output=True, text=True, timeout=50
    )
    assert ran.stdout == "collected\ncleaned\n" and ran.stderr == "stopped\n"
    assert ran.returncode == 130


@pytest.mark.parametrize("module", ["beadseg.cli", "beadseg.main"])
def test_ctrl_c_while_modules_are_loaded_says_nothing(tmp_path, module):
    """A module that is loaded late interrupts the process that loads it."""
    late = {"beadseg.cli": "scipy", "beadseg.main": "ml_collections"}[module]
    (tmp_path / f"{late}.py").write_text("import signal; signal.raise_signal(2)")
    paths = f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"
    done = subprocess.run(
        [sys.executable, "-c", LOADED, module, "--help"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGINT
    assert done.stdout == done.stderr == b""
