"""Configs are found and loaded: those that come with beadseg, and a person's own."""

import importlib.util
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from beadseg.errors import BeadsegError

_NEAR = 0.75  # share of letters in common, from which a name may be meant
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


def load_module(path: str) -> Any:
    """A file with settings, run; whatever it raises is the caller's."""
    spec = importlib.util.spec_from_file_location("beadseg_config", path)
    if spec is None or spec.loader is None:
        raise BeadsegError(f"{path}: not a config file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_config(where: str) -> ConfigDict:
    """The config of `NAME`, `FILE.py` or `FILE.py:ARGUMENT`.

    Raises:
      BeadsegError: there is no such file, or it gives no config.
    """
    path, _, argument = find_config(where).partition(":")
    try:
        made = load_module(path).get_config(*[argument] if argument else [])
    except BeadsegError:
        raise
    except Exception as error:  # whatever a person's own file raises
        reason = " ".join(str(error).split())
        if "get_config() takes 0 positional" in reason:
            reason = "it takes no argument: leave out the colon and what follows"
        elif isinstance(error, LookupError):  # says no more than what was looked for
            reason = f"it knows no {reason}"
        raise BeadsegError(f"--config={path} cannot be loaded: {reason}") from error
    if not isinstance(made, ConfigDict) or "data" not in made:
        raise BeadsegError(f"--config={path}: it gives no beadseg settings")
    return made


def has_field(name: str) -> bool:
    """Whether the base config has a field, or a group of them, of that name."""
    fields = flatten(base_config().to_dict())
    return any(f"{field}.".startswith(f"{name}.") for field in fields)


def near_fields(name: str) -> list[str]:
    """Up to three fields of the base config that a name may mean, nearest first.

    By their letters, or by the first letters of their words: lr is learning_rate.
    """
    last = name.rpartition(".")[2]

    def nearness(field: str) -> float:
        own = field.rpartition(".")[2]
        if len(last) > 1 and last == "".join(word[:1] for word in own.split("_")):
            return 1.0
        pairs = ((name, field), (last, own))
        return max(SequenceMatcher(None, *pair).ratio() for pair in pairs)

    near = {field: nearness(field) for field in flatten(base_config().to_dict())}
    meant = [field for field in near if near[field] >= _NEAR]
    return sorted(meant, key=lambda field: (-near[field], field))[:3]


def flatten(tree: dict, between: str = ".") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            inner = flatten(value, between)
            flat |= {f"{name}{between}{key}": x for key, x in inner.items()}
        else:
            flat[name] = value
    return flat


def base_config() -> ConfigDict:
    """The settings that everything derives from."""
    return load_config(str(ROOT / "configs" / "base.py"))
