"""A real Slurm of two nodes here: what it does to sweeps, runs and predictions."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tifffile

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from tests.tiny import tiny_fields

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("sweep_of_three.py")
SETTINGS = """
ClusterName=beadseg
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={munge}/socket,cred_expire=30
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=0
NodeName={first} NodeHostname={host} NodeAddr=127.0.0.1 Port={daemons[0]} CPUs={cpus}
NodeName={second} NodeHostname={host} NodeAddr=127.0.0.1 Port={daemons[1]} CPUs={cpus}
PartitionName=all Nodes={first},{second} Default=YES MaxTime=INFINITE State=UP
"""
NODES = ("127.0.0.1", "127.0.0.2")  # names by which processes find them


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Starts munge, the controller and two nodes; puts SLURM_CONF in place."""
    missing = [
        name
        for name in ("munged", "slurmctld", "slurmd", "sbatch")
        if shutil.which(name) is None and not Path(f"/usr/sbin/{name}").exists()
    ]
    if missing or os.getuid() != 0:
        pytest.skip(f"no Slurm of one's own here: {missing or 'not root'}")
    folder = tmp_path_factory.mktemp("slurm")
    munge = Path(f"/run/munge-beadseg-tests-{os.getpid()}")
    munge.mkdir(exist_ok=True)
    shutil.chown(munge, "munge", "munge")
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir()
    settings = folder / "slurm.conf"
    text = SETTINGS.format(
        host=socket.gethostname().split(".")[0],
        controller=_free_port(),
        daemons=(_free_port(), _free_port()),
        first=NODES[0],
        second=NODES[1],
        munge=munge,
        folder=folder,
        cpus=2,  # each, whatever this machine has
    )
    settings.write_text(text)
    (munge / "key").write_bytes(os.urandom(128))
    (munge / "key").chmod(0o600)
    shutil.chown(munge / "key", "munge", "munge")
    environment = os.environ | {"SLURM_CONF": str(settings)}
    commands = [
        [
            *("/usr/sbin/munged", "--foreground", f"--socket={munge}/socket"),
            *(f"--key-file={munge}/key", f"--pid-file={munge}/pid", "--force"),
            *(f"--log-file={munge}/log", f"--seed-file={munge}/seed"),
        ],
        ["/usr/sbin/slurmctld", "-D", "-c"],
        *(["/usr/sbin/slurmd", "-D", "-N", node] for node in NODES),
    ]
    started = []
    for command in commands:
        as_munge = {"user": "munge", "group": "munge"} if "munged" in command[0] else {}
        started.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **as_munge,
            )
        )
        time.sleep(1)
    os.environ["SLURM_CONF"] = str(settings)
    try:
        _until(lambda: "idle" in _output("sinfo", "-h", "-o", "%T"), 60)
        yield
    finally:
        del os.environ["SLURM_CONF"]
        for process in reversed(started):
            process.terminate()
            process.wait(20)
        shutil.rmtree(munge, ignore_errors=True)


@pytest.mark.slow
def test_an_array_with_a_task_requeued_and_one_cancelled_leaves_a_whole_sweep(
    slurm, tmp_path
):
    sweep = tmp_path / "sweep"
    submit = [
        *(sys.executable, str(ROOT / "launch" / "submit.py"), "--scheduler=slurm"),
        *(f"--config={CONFIG}", f"--workdir={sweep}", "--nodes=6", "--gpus=0"),
        *("--cpus=1", "--time=00:30:00"),
        f"--config.data.cache_dir={tmp_path / 'cache'}",
    ]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(
        submit, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    job = done.stdout.split("Submitted batch job ")[1].split()[0]
    log = sweep / "members" / "000" / "metrics.jsonl"
    _until(lambda: log.exists() and log.read_text(), 900)
    first = json.loads((sweep / "claims" / "000.0").read_text())
    assert first["pid"] != os.getpid()
    _output("scontrol", "requeue", f"{job}_0")
    _output("scancel", f"{job}_1")
    _until(lambda: not _output("squeue", "-h", "-r", "-j", job), 900)
    states = {
        number: sweep / "members" / f"{number:03d}" / name
        for number, name in (
            (0, "summary.json"),
            (1, "summary.json"),
            (2, "failed.json"),
        )
    }
    logs = "".join(file.read_text() for file in (sweep / "launch").glob("*.log"))
    assert all(file.exists() for file in states.values()), logs
    assert len((sweep / "leaderboard.csv").read_text().splitlines()) == 4
    assert len(list((sweep / "claims").glob("000.*"))) > 1


@pytest.mark.slow
def test_two_nodes_train_one_model_with_the_numbers_of_one_process(slurm, tmp_path):
    run, alone = tmp_path / "run", tmp_path / "alone"
    fields = tiny_fields(
        data__cache_dir=tmp_path / "cache",
        data__generated__count=4,
        data__generated__size=64,
        model__depth=1,
        train__epochs=4,
        train__steps_per_epoch=50,
        log__images_every=0,
    )
    settings = [f"--config={ROOT / 'configs' / 'dice.py'}"]
    settings += [f"--config.{name}={value}" for name, value in fields.items()]
    submit = [
        *(sys.executable, str(ROOT / "launch" / "submit.py"), "--scheduler=slurm"),
        *("--nodes=2", "--gpus=0", "--cpus=1", "--time=00:30:00"),
        *(f"--workdir={run}", *settings),
    ]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(
        submit, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    job = done.stdout.split("Submitted batch job ")[1].split()[0]
    log = run / "metrics.jsonl"
    _until(lambda: log.exists() and log.read_text(), 900)
    _output("scancel", "--batch", "--signal=USR1", job)  # as ahead of a time limit
    _until(lambda: not _output("squeue", "-h", "-r", "-j", job), 900)
    told = "".join(file.read_text() for file in (run / "launch").glob("*.log"))
    assert (run / "summary.json").exists(), told
    assert told.count("stopped by SIGTERM and saved at step") == 1, told

    command = [sys.executable, "-m", "beadseg.main", f"--workdir={alone}", *settings]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert _numbers(run) == _numbers(alone)


@pytest.mark.slow
def test_a_prediction_of_four_tasks_of_which_two_are_killed_loses_nothing(
    slurm, tmp_path
):
    folder, output, alone = (tmp_path / name for name in ("images", "out", "alone"))
    folder.mkdir()
    settings = GeneratedSettings(preset="beads", size=192)
    for number in range(24):
        image = generate(settings, 0, number).image
        tifffile.imwrite(folder / f"{number:02d}.tif", image)
    predict = ["predict", str(folder), "-o", str(output)]
    submit = [
        *(sys.executable, str(ROOT / "launch" / "submit.py"), "--scheduler=slurm"),
        *(*predict, "--nodes=4", "--gpus=0", "--cpus=1", "--time=00:30:00"),
    ]
    done = subprocess.run(submit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    job = done.stdout.split("Submitted batch job ")[1].split()[0]
    claims = output / ".tasks" / "claims"
    _until(lambda: len(_owners(claims)) == 4, 900)
    for pid in sorted(_owners(claims))[:2]:
        os.kill(pid, signal.SIGKILL)
    _until(lambda: not _output("squeue", "-h", "-r", "-j", job), 900)
    logs = "".join(file.read_text() for file in (output / "launch").glob("*.log"))
    assert "in 24 images" in logs, logs
    shares = {claim.stem for claim in claims.glob("*.*")}
    assert len(shares) == 24 + 1  # the tables
    again = len(list(claims.glob("*.[1-9]*")))
    assert again <= 2, logs  # only what the killed ones had
    predict[-1] = str(alone)
    command = [sys.executable, "-m", "beadseg.cli", *predict]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    files = [f.relative_to(alone) for f in alone.rglob("*") if f.is_file()]
    seen = [f for f in files if not f.parts[0].startswith(".")]
    assert len(seen) >= 5 * 24 + 2
    for file in seen:
        assert (output / file).read_bytes() == (alone / file).read_bytes(), file


def _owners(claims: Path) -> set[int]:
    """Process ids of who has begun."""
    texts = [claim.read_text() for claim in claims.glob("*.0")]
    return {json.loads(text)["pid"] for text in texts if text}


def _numbers(run: Path) -> list[dict]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    timed = ("seconds", "images_per_second")
    return [{k: v for k, v in r.items() if not k.startswith(timed)} for r in rows]


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _until(holds, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)
