"""Nothing leaves the machine of a user without a login: every command is watched.

strace sees every library, whatever language it is written in; where there is none, an
audit hook sees those that go through Python.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WATCHED = "connect,sendto,sendmsg,sendmmsg"
# Of the arguments of a call: an address of the Internet that is not this machine's.
ELSEWHERE = re.compile(
    r"htons\(53\)"  # a name server, even if it is here: a name was to be looked up
    r'|inet_addr\("(?!127\.)[^"]*"\)'
    r'|inet_pton\(AF_INET6, "(?!::1")[^"]*"'
)
HOOK = """
import os, sys
def _watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        told = str(arguments[0])
        local = ("None", "localhost", "127.0.0.1", "::1", "", "0.0.0.0")
        if told not in local and told != os.uname().nodename:
            os.write(_out, f"looked up {arguments!r}\\n".encode())
    elif event in ("socket.connect", "socket.sendto") and len(arguments) > 1:
        to = arguments[1]
        if isinstance(to, tuple) and not str(to[0]).startswith(("127.", "::1")):
            os.write(_out, f"connected to {to!r}\\n".encode())
_out = os.open(os.environ["BEADSEG_TEST_CALLS"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
sys.addaudithook(_watch)
"""
# All commands that end by themselves, each given what those before have made.
COMMANDS = """
import sys
from pathlib import Path
from beadseg import cli
run = Path(sys.argv[1])
for line in '''
generate D --count 3 --size 96 --damage drop_random --amount 0.3
analyze D -o A
verify D -o V
baseline D --epochs 1 --workdir B
complete D -o NEW
predict D/images/generated_00000.tif -o P
evaluate P D --page E.html
report RUN -o R.html
diagnose RUN -o DIAGNOSIS.html --images 1
export RUN -o X.onnx
predict D/images/generated_00001.tif --run RUN -o Q
'''.strip().splitlines():
    words = [str(run) if word == "RUN" else word for word in line.split()]
    try:
        cli.main(words)
    except SystemExit as stopped:
        print("ENDED", words[0], stopped.code, flush=True)
"""


@pytest.fixture
def watched(tmp_path):
    """Runs Python as a user without a login; returns its output and what it called."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOOK)
    kept = ("PATH", "LANG", "TMPDIR", "BEADSEG_CACHE", "JAX_COMPILATION_CACHE_DIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}",
        "BEADSEG_TEST_CALLS": str(tmp_path / "calls"),
        "JAX_PLATFORMS": "cpu",
        "MPLBACKEND": "agg",
    }
    (tmp_path / "home").mkdir()

    def run(*arguments):
        trace = tmp_path / "trace"
        strace = shutil.which("strace")
        command = [sys.executable, *map(str, arguments)]
        if strace:
            flags = ["-f", "-qq", "-s", "60", "-e", f"trace={WATCHED}", "-o", trace]
            command = [strace, *flags, "-e", "signal=none", *command]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        if strace:
            lines = trace.read_text(errors="replace").splitlines()
            calls += [line for line in lines if ELSEWHERE.search(line)]
        return done, calls

    return run


def test_the_watch_sees_a_call(watched, tmp_path):
    for code in (
        "import socket; socket.socket(type=2).connect(('192.0.2.1', 9))",
        "import socket; socket.getaddrinfo('beads.invalid', 80)",
        "import socket; socket.create_connection(('192.0.2.1', 9), 0.1)",
    ):
        (tmp_path / "calls").unlink(missing_ok=True)
        assert watched("-c", code)[1]


@pytest.mark.slow
def test_training_offline_and_all_commands_call_nobody(watched, tmp_path):
    flags = {
        "data.generated.count": 4,
        "data.generated.size": 64,
        "data.crop": 32,
        "data.batch_size": 2,
        "model.width": 2,
        "model.depth": 1,
        "train.epochs": 2,
        "train.steps_per_epoch": 2,
    }
    run = tmp_path / "run"
    done, calls = watched(
        *("-m", "beadseg.main", f"--config={ROOT / 'configs' / 'dice.py'}"),
        f"--workdir={run}",
        *(f"--config.{name}={value}" for name, value in flags.items()),
    )
    assert done.returncode == 0, done.stderr
    assert not calls
    assert list((run / "wandb").glob("offline-run-*/*.wandb"))
    done, calls = watched("-c", COMMANDS, run)
    ended = re.findall(r"ENDED (\w+) (\d+)", done.stdout)
    assert len(ended) == 11, done.stderr[-2000:]
    assert all(code in ("0", "1") for _, code in ended), (ended, done.stderr[-2000:])
    assert not calls
