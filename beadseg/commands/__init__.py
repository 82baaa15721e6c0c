"""The subcommands of `beadseg`, a module each: `add` its parser, `run` it.

These modules import what is slow inside `run`: jax is not imported to print help.
"""

import argparse
import hashlib
import os
from pathlib import Path
from typing import Any

from beadseg.data.images.units import is_pixel_size

Subparsers = argparse._SubParsersAction  # which argparse does not name


def auto_or_number(text: str) -> float | str:
    """A value of --threshold and the like."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto nor a number"
        ) from None


def pixel_size(text: str) -> float:
    """A value of --pixel-size."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not is_pixel_size(value):
        raise argparse.ArgumentTypeError(f"{text}: give um above 0, such as 0.65")
    return value


# Arguments of several commands. What each makes of them, its own help says.
SHARED: dict[str, dict[str, Any]] = {
    "dir": {"type": Path, "help": "folder with images/ and masks/"},
    "-o": {"type": Path, "dest": "output"},
    "--run": {"type": Path, "dest": "model"},
    "--diameter": {"type": auto_or_number, "default": "auto"},
    "--images": {"type": Path},
    "--min-score": {"type": auto_or_number, "default": "auto"},
    "--pixel-size": {
        "type": pixel_size,
        "metavar": "UM",
        "help": "um, instead of what the files say",
    },
    "--threshold": {"type": auto_or_number, "default": "auto"},
}
SEVERAL = {"dest": "runs", "action": "append", "default": []}  # of --run


def share(parser: argparse.ArgumentParser, name: str, help: str = "", **own) -> None:
    """Adds an argument of `SHARED`; `help` and what else is given come first."""
    flags = ("-o", "--output") if name == "-o" else (name,)
    said = {"help": help} if help else {}
    parser.add_argument(*flags, **SHARED[name] | said | own)


def maker(command: str, options: argparse.Namespace) -> str:
    """Tells a command with its options from all others, for `files.whole_folder`."""
    asked = {k: v for k, v in vars(options).items() if k not in ("json", "run")}
    words = [command] + [
        f"{k} {os.path.abspath(v) if isinstance(v, Path) else v}"
        for k, v in sorted(asked.items())
    ]
    text = repr(words).encode(errors="backslashreplace")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
