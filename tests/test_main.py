"""The command as a user types it, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FIELDS = {"train__steps_per_epoch": 6, "optim__cosine": False, "log__every": 4}


def run(command: list[str], **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, **options
    )


def start(command: list[str]) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def rows(workdir: Path) -> list[dict]:
    """Rows of metrics.jsonl without the times."""
    kept = []
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        timed = [k for k in row if k.startswith(("seconds", "images_per_second"))]
        kept.append({k: v for k, v in row.items() if k not in timed})
    return kept


def steps_done(workdir: Path) -> int:
    file = workdir / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def error_of(done: subprocess.CompletedProcess) -> str:
    """The one line that a failed command says, without a traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.slow
def test_one_command_trains_and_leaves_a_run_that_explains_itself(command, tmp_path):
    workdir = tmp_path / "run"
    done = run(command(workdir))
    assert done.returncode == 0, done.stderr
    assert "validation Jaccard" in done.stdout.splitlines()[-2]
    summary = json.loads((workdir / "summary.json").read_text())
    scores = [row for row in rows(workdir) if row["kind"] == "validation"]
    assert len(scores) == 3
    best = max(scores, key=lambda row: row["jaccard"])
    assert summary["best_jaccard"] == best["jaccard"]
    assert summary["threshold"] == best["threshold"]
    assert summary["final_jaccard"] == scores[-1]["jaccard"]
    assert summary["final_epoch"] == 3
    assert summary["verdict"] in (
        "converged",
        "still rising",
        "collapsed",
        "did not learn",
    )
    assert summary["images_per_second"] > 0
    config = json.loads((workdir / "config.json").read_text())
    assert config["model"]["width"] == 4
    split = json.loads((workdir / "split.json").read_text())
    assert not set(split["train"]) & set(split["validation"])
    for picture in ("curves.png", "samples.png"):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")
    again = run(command(workdir))
    assert again.returncode == 0
    assert "already finished" in again.stdout


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_with_the_same_bits(command, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fields = {"train__epochs": 4, "train__steps_per_epoch": 10}
    assert run(command(whole, **fields)).returncode == 0
    rng = np.random.default_rng(7)
    total = 40
    for after in sorted(rng.integers(5, total - 10, 2)):
        process = start(command(killed, **fields))
        while steps_done(killed) < after and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert run(command(killed, **fields)).returncode == 0
    assert rows(killed) == rows(whole)
    found, expected = weights(killed, whole)
    assert found == expected


def weights(*workdirs: Path) -> list[dict[str, str]]:
    """Digests of all arrays of the last checkpoints, read in a process of its own."""
    script = (
        "import jax, numpy as np, sys, hashlib\n"
        "from orbax.checkpoint import v1 as ocp\n"
        "for number, folder in enumerate(sys.argv[1:]):\n"
        "    with ocp.training.Checkpointer(folder) as found:\n"
        "        loaded = found.load_checkpointables(found.latest, {'state': None})\n"
        "    state = loaded['state']\n"
        "    for path, leaf in jax.tree_util.tree_leaves_with_path(state):\n"
        "        digest = hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest()\n"
        "        print(number, jax.tree_util.keystr(path), digest)\n"
    )
    folders = [str(workdir / "checkpoints") for workdir in workdirs]
    done = run([sys.executable, "-c", script, *folders])
    assert done.returncode == 0, done.stderr
    found = [{} for _ in workdirs]
    for line in done.stdout.splitlines():
        number, path, digest = line.split()
        found[int(number)][path] = digest
    assert all(len(digests) > 50 for digests in found)
    return found


@pytest.mark.slow
def test_a_signal_saves_and_the_same_command_goes_on(command, tmp_path):
    workdir, saved = tmp_path / "run", 0
    # A scheduler and its batch script tell it, one just after the other; then a person.
    for numbers in ([signal.SIGTERM] * 2, [signal.SIGINT]):
        process = start(command(workdir, train__epochs=500))
        while steps_done(workdir) < saved + 8 and process.poll() is None:
            time.sleep(0.01)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.05)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 128 + number
        line = next(x for x in errors.splitlines() if x.startswith("error: "))
        assert f"stopped by {number.name} and saved at step" in line
        assert "the same command continues from there" in line
        before, saved = saved, int(line.split("at step ")[1].split()[0])
        assert saved > before
    done = run(command(workdir, train__epochs=saved // 6 + 1))
    assert done.returncode == 0, done.stderr
    assert [r["epoch"] for r in rows(workdir) if r["kind"] == "validation"] == list(
        range(1, saved // 6 + 2)
    )


BAD = {
    "typo": (["--config.optim.leraning_rate=1"], "learning_rate"),
    "number": (
        ["--config.optim.learning_rate=fast"],
        "--config.optim.learning_rate=fast: give a number",
    ),
    "whole": (["--config.train.epochs=1.5"], "train.epochs=1.5: give a whole number"),
    "switch": (["--config.plateau.enabled=3"], "enabled=3: give True or False"),
    "group": (["--config.loss=5"], "--config.loss=5: give a value to one of its"),
    "none": (["--config.data.batch_size=0"], "batch_size = 0 is out of range: give 1"),
    "loss": (["--config.loss.name=dise"], "bce, focal, dice, tversky, combined"),
    "model": (["--config.model.name=vnet"], "unet, attention_unet"),
    "folder": (["--config.data.dir=/no/such/folder"], "/no/such/folder"),
    "crop": (["--config.data.crop=600"], "larger than data.tile_size"),
    "argument": (["extra"], "unexpected argument 'extra'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_setting_is_answered_in_one_line(command, tmp_path, case):
    flags, words = BAD[case]
    line = error_of(run([*command(tmp_path / "run"), *flags]))
    assert words in line


def test_without_a_config_it_says_what_to_give(tmp_path):
    line = error_of(run([sys.executable, "-m", "beadseg.main"]))
    assert "--config=configs/dice.py" in line


def test_a_config_that_is_not_there_is_named(tmp_path):
    line = error_of(run([sys.executable, "-m", "beadseg.main", "--config=none.py"]))
    assert "none.py" in line
