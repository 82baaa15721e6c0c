"""python -m beadseg.main --config=configs/dice.py [--workdir=RUN] [--config.FIELD=...]

`beadseg train --config=dice` is the same; `dice` is the configs/dice.py that comes
with beadseg. Trains on the images of --config.data.dir=DIR, or on generated beads; all
points of a config file with `sweep(add)`, such as configs/sweep_loss.py. The
same command continues where a run or a sweep was stopped. With
--config.partial.self_training=3 the model completes the masks of DIR, up to three
times, and is trained again on those.

`srun python -m beadseg.main --processes=2 ...` trains one model on two nodes; where
nothing tells them their place, each gets --process=0 or 1 and --coordinator=HOST:PORT.
A run may continue with another number of processes.
"""

import os
import re
import sys
from pathlib import Path

from beadseg import old_names
from beadseg.errors import BeadsegError, ending, ending_at_once, prepare_streams
from beadseg.libraries import multiply_on_one_core

multiply_on_one_core()
with ending_at_once():
    from absl import app, flags, logging
    from ml_collections import ConfigDict, config_flags

    from beadseg.config import find_config, has_field, load_config, near_fields

# What absl says of a value that is of another kind, and what is to be given.
_KINDS = {
    "invalid literal for int": "a whole number",
    "could not convert string to float": "a number",
    "Non-boolean argument": "True or False",
    "is not a dict": "a value to one of its fields",
}
CONFIG = config_flags.DEFINE_config_file("config", None, "settings of the run")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "run folder; by default runs/NAME-KEY, KEY made from the settings"
)
DRY_RUN = flags.DEFINE_bool("dry_run", False, "print what a sweep would do, and stop")
PROCESSES = flags.DEFINE_integer(
    "processes", 1, "that train one model together, each on a node; srun starts them", 1
)
PROCESS = flags.DEFINE_integer(
    "process", None, "which of --processes this is, from 0; None: as srun or MPI says"
)
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "HOST:PORT of process 0; None: the first node of srun"
)
TASK = flags.DEFINE_integer("task", 0, "of a sweep: which part to begin with, from 0")
TASKS = flags.DEFINE_integer("tasks", 1, "of a sweep: parts, each with its own process")


def main(argv: list[str]) -> None:
    """Trains one run as the flags say."""
    if len(argv) > 1:
        raise BeadsegError(f"unexpected argument {argv[1]!r}: settings start with --")
    if CONFIG.value is None:
        raise BeadsegError("no config: give --config=configs/dice.py")
    from beadseg.sweep.sweep_file import Sweep, sweep_of

    config = _loaded(CONFIG.value)
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    name = Path(file.split(":")[0]).stem
    sweep = sweep_of(file, config)
    if sweep is not None and config.partial.self_training:
        raise BeadsegError(
            f"config.partial.self_training is for one run, and {file} a sweep"
        )
    several = PROCESSES.value > 1
    refused = sweep is not None or config.partial.self_training
    if several and refused and not DRY_RUN.value:
        what = "a sweep" if sweep is not None else "config.partial.self_training"
        raise BeadsegError(
            f"--processes={PROCESSES.value} train one model, not {what}: start {what} "
            "without it"
        )
    from beadseg.partial import outlining
    from beadseg.sweep import command  # jax takes seconds: what is refused, is at once
    from beadseg.training import hosts
    from beadseg.training.loop import train
    from beadseg.training.run_folder import default_workdir
    from beadseg.training.tracking.summary import cautions, sentence
    from beadseg.training.tracking.wandb_mode import sync_command

    if DRY_RUN.value:
        print(command.dry_run(sweep or Sweep([{}], None), config))
        return
    if sweep is not None:
        share = command.Share(TASK.value, TASKS.value)
        folder = Path(WORKDIR.value) if WORKDIR.value else None
        outlining.prepare(config)
        sys.exit(command.run(sweep, config, folder, name, share))
    workdir = Path(WORKDIR.value or default_workdir(name, config))
    if config.partial.self_training:
        from beadseg.partial import self_training

        print(f"self-training folder: {workdir}")
        record = self_training.self_train(config, workdir, workdir.name)
        print(self_training.sentence(record))
        last = f"curves, samples and checkpoints: {workdir / record['best']}"
        print("\n".join([last, *sync_command(workdir)]))
        return
    place = None
    if several:
        numbers = (PROCESSES.value, PROCESS.value, COORDINATOR.value)
        place = hosts.place(*numbers, os.environ)
    with hosts.distributed_session(place):
        print(f"run folder: {workdir}")
        if not (workdir / "summary.json").exists():
            hosts.primary_first(lambda: outlining.prepare(config))
        summary = train(config, workdir, workdir.name)
        last = f"curves, samples and checkpoints: {workdir}"
        lines = [*cautions(summary), sentence(summary), last, *sync_command(workdir)]
        print("\n".join(lines))


def run(argv: list[str] | None = None) -> None:
    """The command: errors of the user are one line and exit code 2."""
    logging.set_verbosity(logging.FATAL)  # orbax logs what it then raises
    prepare_streams()
    with ending("stopped: the same command goes on from what is saved"):
        app.run(main, argv=argv, flags_parser=parse)


def _loaded(config: ConfigDict) -> ConfigDict:
    try:
        config.to_dict()
    except OSError as error:  # raised at first use, not when the flag is read
        reason = str(error).strip().splitlines()[-1].strip()
        raise BeadsegError(f"--config cannot be loaded: {reason}") from error
    return config


def parse(argv: list[str]) -> list[str]:
    """Reads the flags; what is wrong with them is a BeadsegError."""
    # ml_collections looks into sys.argv for --config.FIELD.
    sys.argv[1:] = map(old_names.argument, sys.argv[1:])
    argv = list(map(old_names.argument, argv))
    for i, argument in enumerate(argv):
        name, equals, where = argument.partition("=")
        if name in ("--config", "-config"):
            if equals:
                argv[i] = f"{name}={find_config(where)}"
            elif i + 1 < len(argv):
                argv[i + 1] = find_config(argv[i + 1])
    try:
        return flags.FLAGS(argv)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        _refuse_unknown(argv, error)
        _refuse_unloadable(argv)
        # ml_collections gives a quoted copy of another error's text.
        line = re.sub(r"\\n|\n", " ", str(error)).replace("\\'", "'")
        line = line.strip("'\"")
        _refuse_kind(line, error)
        raise BeadsegError(f"{line} (fields are in configs/base.py)") from error
    except (OSError, flags.Error) as error:
        _refuse_unknown(argv, error)
        _refuse_unloadable(argv)
        _refuse_kind(str(error), error)
        raise BeadsegError(str(error).replace("\n", " ")) from error


def _refuse_unknown(argv: list[str], error: Exception) -> None:
    """Raises BeadsegError for the first argument that sets a field that is none."""
    for argument in argv:
        flag = argument.lstrip("-").partition("=")[0]
        name = flag.removeprefix("config.")
        if flag == name or not argument.startswith("-") or has_field(name):
            continue
        near = near_fields(name)
        meant = f": did you mean {' or '.join(near)}?" if near else ""
        raise BeadsegError(
            f"--config.{name}: no such field{meant} (fields are in configs/base.py)"
        ) from error


def _refuse_kind(line: str, error: Exception) -> None:
    """Raises BeadsegError if a line of absl is on a value of another kind."""
    said = re.match(r"flag (--config\.[^=]+=.*?): ", line, re.DOTALL)
    for words, kind in _KINDS.items():
        if said and words in line:
            value = " ".join(said[1].split())
            raise BeadsegError(
                f"{value}: give {kind} (fields are in configs/base.py)"
            ) from error


def _refuse_unloadable(argv: list[str]) -> None:
    """Raises BeadsegError if the code of the config is what has failed."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, where = argument.partition("=")
        if name.lstrip("-") == "config":
            load_config(where if equals else following)


if __name__ == "__main__":
    run()
