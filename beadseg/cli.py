"""The `beadseg` command: parse, call, print. jax is not imported to print help."""

import argparse
import sys
from pathlib import Path

from beadseg import __version__
from beadseg.commands import (
    Subparsers,
    analyze,
    baseline,
    calibrate,
    complete,
    diagnose,
    evaluate,
    export,
    generate,
    help,
    importing,
    measure,
    predict,
    report,
    review,
    verify,
)
from beadseg.errors import ending, prepare_streams
from beadseg.files import write_json, writing

_TRAIN = "train"


def _add_train(commands: Subparsers) -> None:
    """`python -m beadseg.main` by another name: its flags are not argparse's."""
    commands.add_parser(
        _TRAIN, help="train a run or a sweep, such as --config=dice", add_help=False
    )


# Each adds its parser, in the order of `beadseg --help`.
COMMANDS = (
    predict.add,
    measure.add,
    calibrate.add,
    evaluate.add,
    generate.add,
    importing.add,
    analyze.add,
    verify.add,
    baseline.add,
    complete.add,
    review.add,
    _add_train,
    diagnose.add,
    report.add,
    export.add,
    help.add,
)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; errors of the user are one line and exit code 2.

    `run(options)` of a command returns its result in full, for `--json`. Where the
    command found what it looks for (incomplete masks, failed files), the result's
    "exit_code" is 1.
    """
    prepare_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [_TRAIN]:  # its flags are absl's
        return _train(arguments[1:])
    options = parse(arguments)
    with ending("stopped"):
        result = options.run(options)
        if options.json:
            with writing(options.json, "--json"):
                write_json(options.json, result)
    sys.exit(result.get("exit_code", 0))


def _train(arguments: list[str]) -> None:
    """Trains as the flags say, or prints them."""
    from absl import flags

    from beadseg import main as command

    if {"--help", "-h"} & set(arguments):
        print(command.__doc__.replace("python -m beadseg.main", "beadseg train"))
        print(flags.FLAGS.module_help(command))
        return
    command.run(["beadseg train", *arguments])


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a command; on wrong ones usage and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="beadseg",
        description="Finds every microbead in a microscope image.",
        epilog="Training: beadseg train --config=dice",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, help="write the result to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
