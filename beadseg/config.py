"""Configs are found and loaded: those that come with beadseg, and a person's own."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

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


def load_config(where: str) -> ConfigDict:
    """The config of `NAME`, `FILE.py` or `FILE.py:ARGUMENT`.

    Raises:
      BeadsegError: there is no such file, or it gives no config.
    """
    path, _, argument = find_config(where).partition(":")
    spec = importlib.util.spec_from_file_location("beadseg_config", path)
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made: Any = module.get_config(*[argument] if argument else [])
    except BeadsegError:
        raise
    except Exception as error:  # whatever a person's own file raises
        reason = " ".join(str(error).split())
        raise BeadsegError(f"--config={path} cannot be loaded: {reason}") from error
    if not isinstance(made, ConfigDict) or "data" not in made:
        raise BeadsegError(f"--config={path}: it gives no beadseg settings")
    return made


def base_config() -> ConfigDict:
    """The settings that everything derives from."""
    return load_config(str(ROOT / "configs" / "base.py"))
