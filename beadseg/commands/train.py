"""`beadseg train --config=NAME`: `python -m beadseg.main` by another name.

Its flags are those of `beadseg.main`, which stands above the commands: `beadseg.cli`
calls it.
"""

from beadseg.commands import Subparsers

NAME = "train"


def add(commands: Subparsers) -> None:
    """Adds the command to `beadseg --help`; its flags are not argparse's."""
    commands.add_parser(
        NAME, help="train a run or a sweep, such as --config=dice", add_help=False
    )
