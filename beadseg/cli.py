"""The `beadseg` command: parse, call, print. jax is not imported to print help."""

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from beadseg import __version__
from beadseg.errors import ending, ending_at_once, prepare_streams
from beadseg.libraries import multiply_on_one_core
from beadseg.quoting import printable

multiply_on_one_core()
with ending_at_once():
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
    with ending("stopped"):
        if arguments[:1] == [_TRAIN]:  # its flags are absl's
            return _train(arguments[1:])
        options = parse(arguments)
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


class _Parser(argparse.ArgumentParser):
    """Of a command too: what is wrong is one line, as other errors are."""

    def error(self, message: str) -> NoReturn:
        """Says it and ends with exit code 2."""
        line = printable(" ".join(message.split()))
        self.exit(2, f"error: {line} (see {self.prog} --help)\n")

    def refuse(self, unknown: str) -> NoReturn:
        """Ends with an argument that the command does not take, and what is near it."""
        flag = unknown.partition("=")[0]
        if not flag.startswith("-"):
            self.error(f"unexpected argument {unknown!r}")
        near = get_close_matches(flag, self._option_string_actions, 1)
        meant = f": did you mean {near[0]}?" if near else ""
        self.error(f"no such option as {flag}{meant}")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a command; on wrong ones one line and exit code 2."""
    parser = _Parser(
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
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        named = (commands.choices.get(argument) for argument in arguments)
        next(filter(None, named), parser).refuse(unknown[0])
    return options


if __name__ == "__main__":
    main()
