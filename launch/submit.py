"""Training or prediction on the nodes of a cluster: one job, made to be cut short.

  python launch/submit.py --scheduler=slurm --config=configs/sweep_grid.py --nodes=8
  python launch/submit.py --scheduler=pbs --config=configs/sweep_grid.py --dry-run
  python launch/submit.py --scheduler=slurm --config=configs/dice.py --nodes=2
  python launch/submit.py --scheduler=slurm predict IMAGES... -o OUT --nodes=8

Settings (--config.FIELD=...) are passed on. A sweep is an array of tasks, each on a
node, that share the sweep folder and take members from it by claims, each beginning
with its own part. A run on several nodes is one task, whose processes train one model
together: config.data.batch_size is shared by the devices of all nodes. Ahead of the
time limit a task saves and begins again; so does one that was preempted. Run the same
command again to do what is left: what is finished is skipped.

A prediction is `beadseg predict` with all its options, an array of tasks that claim
shares of the images from OUT; the one that finds all finished writes the tables.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a clone need not be installed

from absl import app, flags  # noqa: E402
from ml_collections import config_flags  # noqa: E402

from beadseg import main as beadseg_main  # noqa: E402  (defines --config, --workdir)
from beadseg.errors import BeadsegError  # noqa: E402
from beadseg.files import write_whole, writing  # noqa: E402
from beadseg.quoting import counted, is_printable  # noqa: E402
from beadseg.sweep.sweep_file import sweep_of, sweep_workdir  # noqa: E402
from beadseg.training.run_folder import default_workdir  # noqa: E402

SCHEDULER = flags.DEFINE_enum("scheduler", None, ["slurm", "pbs"], "of the cluster")
PBS = flags.DEFINE_enum(
    "pbs", "auto", ["auto", "pro", "torque"], "which PBS; auto: as qsub --version says"
)
NODES = flags.DEFINE_integer(
    "nodes", 1, "of a sweep, a task each; of a run, together", 1
)
GPUS = flags.DEFINE_integer("gpus", 1, "of a node", 0)
CPUS = flags.DEFINE_integer("cpus", 8, "cores of a node", 1)
MEMORY = flags.DEFINE_string("memory", "", "of a node, such as 32gb")
TIME = flags.DEFINE_string("time", "04:00:00", "limit of a task, HH:MM:SS")
PARTITION = flags.DEFINE_string("partition", "", "partition or queue")
ACCOUNT = flags.DEFINE_string("account", "", "who pays")
QOS = flags.DEFINE_string("qos", "", "quality of service")
CONSTRAINT = flags.DEFINE_string(
    "constraint", "", "what nodes must have, such as a100; of PBS NAME=VALUE, or NAME"
)
MODULES = flags.DEFINE_list("modules", [], "to load on the nodes: cuda/12.4,gcc")
PYTHON = flags.DEFINE_string("python", sys.executable, "interpreter on the nodes")

AHEAD = 180  # s before the time limit: enough to save
COMMANDS = {"slurm": "sbatch", "pbs": "qsub", "torque": "qsub"}
# Where pbsdsh starts a process: PBS Pro numbers nodes, Torque their cores.
PBSDSH = {"pbs": '-n "$process" --', "torque": '-h "${nodes[$process]}"'}


class Job(NamedTuple):
    """What the scheduler is to start."""

    name: str
    workdir: Path  # of the results; script and logs go into launch/ in it
    command: str  # of a task, in bash, as typed in `folder`
    folder: Path
    tasks: int  # of the array
    together: int = 1  # nodes of a task
    prepare: Callable[[], None] = lambda: None  # what lies there before it is submitted


def main(argv: list[str]) -> None:
    """Writes the batch script beside the results, and submits it."""
    predicts = argv[1:2] == ["predict"]
    what = predicts or (len(argv) == 1 and beadseg_main.CONFIG.value is not None)
    if SCHEDULER.value is None or not what:
        raise BeadsegError(
            "give --scheduler=slurm or pbs, then --config=configs/sweep_loss.py and "
            "flags, or predict IMAGES... -o OUT"
        )
    dry = beadseg_main.DRY_RUN.value
    scheduler = SCHEDULER.value
    if scheduler == "pbs":
        scheduler = _kind_of_pbs(dry)
    command = COMMANDS[scheduler]
    if not dry and shutil.which(command) is None:
        raise BeadsegError(
            f"{command}: no such command here: run this on a login node of the "
            "cluster, or see the script with --dry-run"
        )
    job = _prediction(argv[1:]) if predicts else _training()
    script = job.workdir / "launch" / f"{scheduler}.sh"
    submit = [command, *_array(scheduler, job.tasks), str(script)]
    text = _script(scheduler, job, script, submit)
    if dry:
        print(text)
        print(f"# would be submitted with: {shlex.join(submit)}")
        return
    job.prepare()
    with writing(script):
        script.parent.mkdir(parents=True, exist_ok=True)
        write_whole(script, text)
    done = subprocess.run(submit, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())
        raise BeadsegError(f"{command} refused {script}: {reason}")
    print(done.stdout.strip())
    print(f"script and logs: {script.parent}")
    if job.together == 1:
        print(f"what is done, running or failed: python launch/status.py {job.workdir}")


def _training() -> Job:
    workdir, name = _workdir()
    together = _together()
    passed_on = [
        argument
        for argument in sys.argv[1:]
        if argument.startswith(("--config", "-config"))
    ]
    words = [PYTHON.value, "-m", "beadseg.main", *passed_on, f"--workdir={workdir}"]
    command, tasks = shlex.join(words), NODES.value // together
    if together == 1:
        command += f' --task="$task" --tasks={tasks}'
    return Job(name, workdir, command, ROOT, tasks, together)


def _prediction(arguments: list[str]) -> Job:
    """The images are found, and what is wrong with them said, here and once."""
    from beadseg import cli
    from beadseg.commands import predict

    options = cli.parse(arguments)
    if options.json or options.task is not None:
        raise BeadsegError("--json and --task are of one process: leave them out")

    def prepare() -> None:
        from beadseg.inference import shares  # jax takes seconds

        about = shares.prepare(*predict.found(options), NODES.value)
        print(f"{counted(about['images'], 'image')} in {about['shares']:,} shares")

    command = shlex.join([PYTHON.value, "-m", "beadseg.cli", *arguments])
    path = shlex.quote(str(ROOT))  # the clone is found from any folder
    command = f'PYTHONPATH={path}"${{PYTHONPATH:+:$PYTHONPATH}}" {command}'
    command += ' --task="$task"'
    output = options.output.resolve()
    return Job("predict", output, command, Path.cwd(), NODES.value, prepare=prepare)


def _together() -> int:
    """Nodes of a task: those of a run train one model, those of a sweep their own."""
    if NODES.value == 1:
        return 1
    config = beadseg_main.CONFIG.value
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    if sweep_of(file, config) is not None:
        return 1
    if config.partial.self_training:
        raise BeadsegError(
            "config.partial.self_training is for one node: leave --nodes out"
        )
    return NODES.value


def _workdir() -> tuple[Path, str]:
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    name = Path(file.split(":")[0]).stem
    config = beadseg_main.CONFIG.value
    if beadseg_main.WORKDIR.value:
        return Path(beadseg_main.WORKDIR.value).resolve(), name
    sweep = sweep_of(file, config)
    if sweep is None:
        return default_workdir(name, config).resolve(), name
    return sweep_workdir(sweep, config, name).resolve(), name


def _kind_of_pbs(dry: bool) -> str:
    if PBS.value != "auto":
        return "pbs" if PBS.value == "pro" else "torque"
    if shutil.which("qsub") is None:
        return "pbs"
    asked = subprocess.run(
        ["qsub", "--version"], capture_output=True, text=True, check=False
    )
    said = (asked.stdout + asked.stderr).lower()
    return "pbs" if "pbs" in said else "torque"


def _array(scheduler: str, tasks: int) -> list[str]:
    last = tasks - 1
    if scheduler == "slurm":
        return [f"--array=0-{last}"]
    if last == 0:  # PBS Pro knows no array of one
        return []
    return ["-J" if scheduler == "pbs" else "-t", f"0-{last}"]


def _script(scheduler: str, job: Job, script: Path, submit: list[str]) -> str:
    gpus, memory, needed = GPUS.value, MEMORY.value, CONSTRAINT.value
    command, together = job.command, job.together
    folder, load = shlex.quote(str(job.folder)), ""
    if MODULES.value:
        load = f"module load {shlex.join(MODULES.value)} || exit 1"
        load = f"type module >/dev/null 2>&1 || . /etc/profile; {load}"
    values = {
        "NAME": f"beadseg-{job.name}",
        "CPUS": CPUS.value,
        "GPUS": gpus or "",
        "GPUS_PRO": f":ngpus={gpus}" if gpus else None,
        "GPUS_TORQUE": f":gpus={gpus}" if gpus else None,
        "MEMORY": memory,
        "MEMORY_PRO": f":mem={memory}" if memory else None,
        "TIME": TIME.value,
        "SECONDS": max(_seconds(TIME.value) - AHEAD, 60),
        "AHEAD": AHEAD,
        "PARTITION": PARTITION.value,
        "ACCOUNT": ACCOUNT.value,
        "QOS": QOS.value,
        "CONSTRAINT": needed,
        "CONSTRAINT_PBS": f":{needed}" if needed else None,
        "LOAD": load,
        "LOGS": script.parent,
        "SCRIPT": shlex.quote(str(script)),
        "SUBMIT": shlex.join(submit),
        "FOLDER": folder,
        "TOGETHER": together,
        "SCATTER": "scatter" if together > 1 else "",
        "SAVE": 'kill -TERM "$child"',
        "CANCELLED": 'kill -TERM "$child"',
    }
    parts = [f"{scheduler}.sh", "task.sh"]
    if together == 1:
        values["COMMAND"] = command
    elif scheduler == "slurm":
        command += f" --processes={together}"
        values["COMMAND"] = f"srun --cpus-per-task={CPUS.value} {command}"
        # srun kills at once where it gets TERM itself. The processes of a job that is
        # cancelled get it from Slurm.
        values |= {"SAVE": 'scancel --signal=TERM "$SLURM_JOB_ID.0"', "CANCELLED": ":"}
    else:
        parts.insert(1, "pbs_nodes.sh")
        command += f' --processes={together} --process="$0" --coordinator="$1"'
        start = f"{load}\ncd {folder} && exec {command}".strip()
        process = shlex.quote(start.replace("\n", "; "))
        values["COMMAND"] = f'bash -c {process} 0 "$coordinator"'
        values |= {"PROCESS": process, "WHERE": PBSDSH[scheduler], "LAST": together - 1}
    for key, value in values.items():
        if not is_printable(str(value)):  # a line break would end a comment
            raise BeadsegError(
                f"{key.lower()} of the batch script: {value!r} holds a character that "
                "is no text: name the folder otherwise with --workdir"
            )
    filled = {key: "" if v is None else str(v) for key, v in values.items()}
    lines = []
    text = "".join((Path(__file__).parent / part).read_text() for part in parts)
    for line in text.splitlines():
        if any(f"@{k}@" in line and v == "" for k, v in values.items()):
            continue  # an option that was not given
        # All at once: what is put in may hold such a word itself.
        lines.append(
            re.sub(r"@([A-Z_]+)@", lambda word: filled.get(word[1], word[0]), line)
        )
    return "\n".join(lines) + "\n"


def _seconds(limit: str) -> int:
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if len(parts) != 3 or not all(p.isdigit() for p in [*parts, days or "0"]):
        raise BeadsegError(f"--time={limit}: give HH:MM:SS")
    hours, minutes, seconds = map(int, parts)
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def run() -> None:
    """The command: errors of the user are one line and exit code 2."""
    arguments = ["--dry_run" if a == "--dry-run" else a for a in sys.argv]
    try:
        app.run(main, arguments, flags_parser=_parse)
    except BeadsegError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _parse(argv: list[str]) -> list[str]:
    """The flags here and those of a config; of a prediction what is left is its own."""
    if "predict" in argv:
        flags.FLAGS.set_gnu_getopt(True)
        left = flags.FLAGS(argv, known_only=True)
        if left[1:2] == ["predict"]:
            return left
    return beadseg_main.parse(argv)


if __name__ == "__main__":
    run()
