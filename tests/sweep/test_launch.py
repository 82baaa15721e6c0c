"""Batch scripts, submitted to stand-ins of the schedulers and run under bash."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from beadseg.sweep.claims import Claims
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.points import over
from tests.summaries import SUMMARY

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """A folder at the head of PATH for stand-ins; `say(name, text)` makes one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name, text):
        file = folder / name
        file.write_text(f"#!/bin/bash\n{text}\n")
        file.chmod(0o755)
        return file

    return make


def submit(tmp_path, *flags, config="sweep_seeds.py"):
    command = [
        *(sys.executable, str(ROOT / "launch" / "submit.py")),
        f"--config={ROOT / 'configs' / config}",
        f"--workdir={tmp_path / 'sweep'}",
        *flags,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )


def test_a_scheduler_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for scheduler, command in (("slurm", "sbatch"), ("pbs", "qsub")):
        done = submit(tmp_path, f"--scheduler={scheduler}")
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {command}: no such command")
        assert not (tmp_path / "sweep").exists()


def test_slurm_is_given_one_array_and_the_script_stays_with_the_results(
    tmp_path, bin_folder
):
    bin_folder("sbatch", f'echo "$@" > {tmp_path}/asked; echo Submitted batch job 7')
    flags = ("--nodes=3", "--gpus=2", "--account=lab", "--time=01:00:00")
    done = submit(tmp_path, "--scheduler=slurm", *flags, "--config.train.epochs=2")
    assert done.returncode == 0, done.stderr
    script = tmp_path / "sweep" / "launch" / "slurm.sh"
    assert (tmp_path / "asked").read_text().split() == ["--array=0-2", str(script)]
    text = script.read_text()
    for words in (
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --account=lab",
        "#SBATCH --signal=B:USR1@180",
        "--config.train.epochs=2 ",
        "--tasks=3 ",
    ):
        assert words in text
    assert "partition" not in text and "--mem" not in text and "@R" not in text


@pytest.mark.parametrize(
    ("version", "name", "array", "resources"),
    [
        ("pbs_version = 23.06", "pbs", "-J", "select=1:ncpus=8:ngpus=1:mem=32gb"),
        ("Version: 6.1.3", "torque", "-t", "nodes=1:ppn=8:gpus=1"),
    ],
)
def test_both_kinds_of_pbs_are_spelt_their_way(
    tmp_path, bin_folder, version, name, array, resources
):
    bin_folder("qsub", f'echo "$@" >> {tmp_path}/asked; echo "{version}"')
    done = submit(tmp_path, "--scheduler=pbs", "--nodes=4", "--memory=32gb")
    assert done.returncode == 0, done.stderr
    script = tmp_path / "sweep" / "launch" / f"{name}.sh"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["--version", f"{array} 0-3 {script}"]
    assert f"#PBS -l {resources}" in script.read_text()


@pytest.mark.parametrize(
    ("scheduler", "index"),
    [("slurm", "SLURM_ARRAY_TASK_ID"), ("pbs", "PBS_ARRAY_INDEX")],
)
def test_a_task_gets_its_index_and_begins_again_when_its_time_is_up(
    tmp_path, bin_folder, scheduler, index
):
    # The stand-in of python saves and ends on TERM as beadseg.main does.
    python = bin_folder(
        "python",
        f'echo "$@" > {tmp_path}/got; trap "exit 143" TERM; '
        "while :; do sleep 0.05; done",
    )
    bin_folder("sbatch", "")
    bin_folder("qsub", f'[ "$1" = --version ] && echo pbs || echo "$@" >{tmp_path}/re')
    bin_folder("scontrol", f'echo "$@" > {tmp_path}/re')
    done = submit(
        tmp_path, f"--scheduler={scheduler}", "--nodes=4", f"--python={python}"
    )
    assert done.returncode == 0, done.stderr
    script = tmp_path / "sweep" / "launch" / f"{scheduler}.sh"
    variables = {index: "2", "SLURM_ARRAY_JOB_ID": "7"}
    for number, again in ((signal.SIGUSR1, True), (signal.SIGTERM, False)):
        for file in ("got", "re"):
            (tmp_path / file).unlink(missing_ok=True)
        process = subprocess.Popen(["bash", script], env=os.environ | variables)
        while not (tmp_path / "got").exists():
            time.sleep(0.02)
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(20) == 143
        assert "--task=2 --tasks=4" in (tmp_path / "got").read_text()
        assert (tmp_path / "re").exists() == again
        if again:
            words = {"slurm": "requeue 7_2", "pbs": f"-v BEADSEG_TASK=2 {script}"}
            assert (tmp_path / "re").read_text().strip() == words[scheduler]


def test_slurm_starts_one_run_on_all_nodes_of_one_job(tmp_path, bin_folder):
    bin_folder("sbatch", f'echo "$@" > {tmp_path}/asked; echo Submitted batch job 7')
    done = submit(tmp_path, "--scheduler=slurm", "--nodes=3", config="dice.py")
    assert done.returncode == 0, done.stderr
    script = tmp_path / "sweep" / "launch" / "slurm.sh"
    assert (tmp_path / "asked").read_text().split() == ["--array=0-0", str(script)]
    text = script.read_text()
    assert "#SBATCH --nodes=3\n#SBATCH --ntasks-per-node=1\n" in text
    (started,) = [line for line in text.splitlines() if "beadseg.main" in line]
    assert started.startswith("srun --cpus-per-task=8 ")
    assert started.endswith("--processes=3 &")


@pytest.mark.parametrize(
    ("kind", "nodefile", "resources", "where"),
    [
        ("pro", "a\nb\nc\n", "select=3:ncpus=2:ngpus=1", ["-n 1 --", "-n 2 --"]),
        ("torque", "a\na\nb\nb\nc\nc\n", "nodes=3:ppn=2:gpus=1", ["-h b", "-h c"]),
    ],
)
def test_pbs_starts_a_process_of_one_run_on_each_node(
    tmp_path, bin_folder, kind, nodefile, resources, where
):
    # The first process trains until it is told to stop, and the others with it.
    python = bin_folder(
        "python",
        f'echo "$PWD" "$@" > {tmp_path}/got.$$; trap "exit 143" TERM; '
        "case $* in *--process=0*) while :; do sleep 0.05; done;; esac",
    )
    options = {"pro": 3, "torque": 2}[kind]
    bin_folder(
        "pbsdsh",
        f'echo pbsdsh "${{@:1:{options}}}" >> {tmp_path}/where; shift {options}; "$@"',
    )
    bin_folder("qsub", f'echo "$@" >> {tmp_path}/asked')
    flags = ("--nodes=3", "--cpus=2", f"--pbs={kind}", f"--python={python}")
    done = submit(tmp_path, "--scheduler=pbs", *flags, config="dice.py")
    assert done.returncode == 0, done.stderr
    name = {"pro": "pbs", "torque": "torque"}[kind]
    script = tmp_path / "sweep" / "launch" / f"{name}.sh"
    assert f"#PBS -l {resources}\n" in script.read_text()
    (tmp_path / "nodes").write_text(nodefile)
    variables = {"PBS_NODEFILE": str(tmp_path / "nodes"), "PBS_JOBID": "4100.server"}
    process = subprocess.Popen(["bash", script], env=os.environ | variables)
    while len(list(tmp_path.glob("got.*"))) < 3:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(20) == 143
    told = sorted(file.read_text().split() for file in tmp_path.glob("got.*"))
    started = sorted((tmp_path / "where").read_text().splitlines())
    assert started == [f"pbsdsh {options}" for options in where]
    for number, words in enumerate(told):
        assert words[0] == str(ROOT)
        assert words[-3:] == [
            "--processes=3",
            f"--process={number}",
            "--coordinator=a:61444",
        ]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-1] == f"-v BEADSEG_TASK=0 {script}"


def test_rounds_on_several_nodes_are_refused(tmp_path):
    flags = ("--nodes=2", "--config.partial.self_training=2", "--dry-run")
    done = submit(tmp_path, "--scheduler=slurm", *flags, config="dice.py")
    assert done.returncode == 2
    assert "config.partial.self_training is for one node" in done.stderr


def test_status_tells_who_is_where_and_why_one_failed(tiny, tmp_path):
    folder = SweepFolder(tmp_path / "sweep", "test", tiny, over("seed", 0, 1, 2, 3))
    run = folder.run_path(0)
    run.mkdir(parents=True)
    summary = SUMMARY | {"best_jaccard": 0.5}
    (run / "summary.json").write_text(json.dumps(summary))
    folder.fail(1, "the loss is not finite at step 3")
    with Claims(folder.path / "claims", 60) as claims:
        assert claims.take(2)
        command = [sys.executable, ROOT / "launch" / "status.py", folder.path]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "000 finished  seed=0: best Jaccard 0.500"
    assert lines[1] == "001 failed    seed=1: the loss is not finite at step 3"
    assert lines[2].startswith("002 running   seed=2: on ")
    assert lines[3].startswith("003 waiting   seed=3")
    assert lines[4] == "1 finished, 1 failed, 1 running, 1 waiting"


def test_a_prediction_is_an_array_over_images_that_are_found_once(tmp_path, bin_folder):
    bin_folder("sbatch", f'echo "$@" > {tmp_path}/asked; echo Submitted batch job 7')
    (tmp_path / "my images").mkdir()
    for name in "abc":
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
        tifffile.imwrite(tmp_path / "my images" / f"{name}.tif", pixels)
    command = [sys.executable, str(ROOT / "launch" / "submit.py"), "--scheduler=slurm"]
    command += ["predict", "my images", "-o", "out", "--nodes=4", "--only", "labels"]
    command += ["--qos=long", "--constraint=a100|h100", "--modules=cuda/12.4,gcc"]

    def submitted(*more):
        return subprocess.run(
            [*command, *more], capture_output=True, text=True, cwd=tmp_path, check=False
        )

    assert submitted("--dry-run").returncode == 0
    assert not (tmp_path / "out").exists()
    done = submitted()
    assert done.returncode == 0, done.stderr
    assert "3 images in 3 shares" in done.stdout
    script = tmp_path / "out" / "launch" / "slurm.sh"
    assert (tmp_path / "asked").read_text().split() == ["--array=0-3", str(script)]
    text = script.read_text()
    assert "#SBATCH --qos=long\n#SBATCH --constraint=a100|h100\n" in text
    assert "module load cuda/12.4 gcc || exit 1\n" in text
    assert f"\ncd {tmp_path} || exit 1\n" in text
    (line,) = [line for line in text.splitlines() if "beadseg.cli" in line]
    words = "beadseg.cli predict 'my images' -o out --only labels --task=\"$task\" &"
    assert line.endswith(words)
    status = [sys.executable, str(ROOT / "launch" / "status.py"), "out"]
    told = subprocess.run(
        status, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    counts = "0 of 3 shares finished, 0 running, 3 waiting, 0 images failed\n"
    assert (told.returncode, told.stdout) == (0, counts)
    for wrong in ("--tresh=1", "--json=x", "--run=nowhere"):
        done = submitted(wrong)
        assert done.returncode == 2, wrong
        assert done.stderr.splitlines()[-1].count("error: ") == 1, done.stderr


def test_pbs_is_told_what_nodes_must_have(tmp_path, bin_folder):
    flags = ("--scheduler=pbs", "--dry-run", "--qos=long", "--constraint=gpu_type=a100")
    for kind in ("pro", "torque"):
        text = submit(tmp_path, *flags, f"--pbs={kind}").stdout
        assert ":gpu_type=a100\n" in text and "#PBS -l qos=long\n" in text
        assert "module" not in text


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31m", "cr\rhere"])
def test_a_folder_whose_name_would_end_a_line_is_refused(name, tmp_path):
    folder = tmp_path / name
    done = submit(tmp_path, "--scheduler=slurm", f"--workdir={folder}", "--dry-run")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not folder.exists()


@pytest.mark.parametrize("name", ["@COMMAND@", "$(touch x)", "a;b 'c'"])
def test_a_folder_of_any_name_is_one_word_of_the_script(name, tmp_path):
    folder = tmp_path / name
    done = submit(tmp_path, "--scheduler=slurm", f"--workdir={folder}", "--dry-run")
    assert done.returncode == 0, done.stderr
    (line,) = [x for x in done.stdout.splitlines() if "beadseg.main" in x]
    assert f"--workdir={folder}" in shlex.split(line)
