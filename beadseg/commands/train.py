"""`beadseg train --config=NAME`: `python -m beadseg.main` by another name."""

from beadseg.commands.parser import Subparsers

NAME = "train"


def add(commands: Subparsers) -> None:
    """Adds the command to `beadseg --help`; its flags are not argparse's."""
    commands.add_parser(
        NAME, help="train a run or a sweep, such as --config=dice", add_help=False
    )


def run(arguments: list[str]) -> None:
    """Trains as the flags say, or prints them."""
    from absl import flags

    from beadseg import main

    if {"--help", "-h"} & set(arguments):
        print(main.__doc__.replace("python -m beadseg.main", "beadseg train"))
        print(flags.FLAGS.module_help(main))
        return
    main.run(["beadseg train", *arguments])
