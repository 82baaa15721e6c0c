"""Calls of commands, and the tables that they write, for tests."""

import csv
from pathlib import Path

import pytest

from beadseg import cli


def exit_code(*arguments: object) -> int:
    """That of `beadseg ARGUMENTS`."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


def call(capsys, *arguments: object) -> tuple[int, list[str], list[str]]:
    """Exit code, lines of stdout and lines of stderr of a command."""
    code = exit_code(*arguments)
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))
