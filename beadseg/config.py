"""Where configs are found: those that come with beadseg, and a person's own."""

import sys
from pathlib import Path

from beadseg.errors import BeadsegError

ROOT = Path(__file__).resolve().parents[1]  # holds configs/, in a clone or installed


def find_config(where: str) -> str:
    """The path of a config, with its argument if it has one.

    Args:
      where: NAME or configs/NAME.py of those that come with beadseg, such as `dice` or
        `dice:full`, or a file.

    Raises:
      BeadsegError: neither.
    """
    path, colon, argument = where.partition(":")
    own = ROOT / "configs" / f"{Path(path).stem}.py"
    if path in (own.stem, f"configs/{own.name}") and not Path(path).is_file():
        path = str(own)
    if not Path(path).is_file():
        names = ", ".join(sorted(p.stem for p in own.parent.glob("*.py")))
        raise BeadsegError(f"--config={where}: no such file, nor one of {names}")
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # a config begins with `from configs import base`
    return path + colon + argument
