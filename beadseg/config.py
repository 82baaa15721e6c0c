"""Configs are found and loaded: those that come with beadseg, and a person's own.

What their numbers may be stands in one table: the rest makes no sense, or hangs. What
depends on the data, or on the model, is checked where these are known.
"""

import importlib.util
import math
import sys
from difflib import SequenceMatcher
from numbers import Real
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

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

    By their letters, by the first letters of their words (lr is learning_rate), or by a
    word more (tversky_alpha is alpha).
    """
    last = name.rpartition(".")[2]
    words = last.split("_")[1:]

    def nearness(field: str) -> float:
        own = field.rpartition(".")[2]
        if len(last) > 1 and last == "".join(word[:1] for word in own.split("_")):
            return 1.0
        if own in words:
            return 0.9
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


class Limits(NamedTuple):
    """The smallest and the largest number that a field may hold."""

    low: float
    high: float
    none: bool = False  # whether None will do

    def __str__(self) -> str:
        low, high = (str(n) if isinstance(n, int) else f"{n:g}" for n in self[:2])
        words = f"{low} to {high}" if self.high < math.inf else f"{low} or more"
        return words + (", or None" if self.none else "")


_SEED = Limits(0, 2**32 - 1)
_SHARE = Limits(0, 1)
_WEIGHT = Limits(0, 1e6)
_COUNT = Limits(0, 10**9)
_SOME = Limits(1, 10**9)
_PX = Limits(0, 10**5)
LIMITS = {
    "seed": _SEED,
    "data.channel": Limits(0, 10**4, none=True),
    "data.rehearsal": Limits(0, 0.95),
    "data.tile_size": Limits(8, 2**31 - 1),
    "data.crop": Limits(8, 2**14),
    "data.batch_size": Limits(1, 2**14),
    "data.seed": _SEED,
    "data.workers": Limits(0, 1000),
    "data.split_seed": _SEED,
    "data.point_diameter": Limits(2, 10**5, none=True),
    "data.density_bins": _COUNT,
    "data.normalise.low": Limits(0, 100),
    "data.normalise.high": Limits(0, 100),
    "data.normalise.flatten": Limits(0, 1000),
    "data.generated.count": Limits(0, 10**7),
    "data.generated.size": Limits(0, 2**14),
    "data.generated.seed": Limits(0, math.inf),
    "data.generated.bead_diameter": _PX,
    "data.generated.sizes": _PX,
    "data.generated.amount": _PX,
    "data.augment.rotate": Limits(0, 360),
    "data.augment.shift": _SHARE,
    "data.augment.zoom": Limits(0, 0.9),
    "data.augment.brightness": _SHARE,
    "data.augment.gamma": Limits(0, 5),
    "data.augment.noise": Limits(0, 10),
    "data.augment.blur": Limits(0, 100),
    "data.augment.invert": _SHARE,
    "model.dropout": Limits(0, 0.95),
    "loss.gamma": Limits(0, 100),
    "loss.positive_weight": _SHARE,
    "loss.alpha": Limits(0, 1000),
    "loss.beta": Limits(0, 1000),
    "loss.mix": _SHARE,
    "loss.boundary": _WEIGHT,
    "loss.distance": _WEIGHT,
    "partial.audit": _SHARE,
    "partial.suspect": _SHARE,
    "partial.enough": _SHARE,
    "partial.self_training": Limits(0, 100),
    "partial.accept": Limits(0.5, 1),
    "optim.learning_rate": Limits(0, 1000),
    "optim.weight_decay": Limits(0, 1000),
    "optim.clip_norm": Limits(1e-12, math.inf),
    "optim.warmup_steps": _COUNT,
    "plateau.factor": Limits(1e-6, 0.999),
    "plateau.patience": _SOME,
    "plateau.min_learning_rate": Limits(0, 1000),
    "train.epochs": Limits(1, 10**7),
    "train.steps_per_epoch": _SOME._replace(none=True),
    "train.early_stopping": _COUNT,
    "train.threshold": _SHARE._replace(none=True),
    "train.weight_interpolation": _SHARE,
    "sweep.trials": _SOME,
    "sweep.rounds": _SOME,
    "sweep.keep": _SHARE,
    "sweep.at_once": _COUNT,
    "sweep.lease": Limits(1, 1e9),
    "log.every": _SOME,
    "log.images_every": _COUNT,
}
WANDB = ("auto", "online", "offline", "off")
_OF_WANDB = ("disabled", "dryrun", "run")  # its own words for these


def check_ranges(config: ConfigDict) -> None:
    """Raises BeadsegError for a number that makes no sense, also one of several."""
    for field, limits in LIMITS.items():
        value = attrgetter(field)(config)
        each = value if isinstance(value, tuple | list) else (value,)
        if not all(_within(number, limits) for number in each):
            raise BeadsegError(
                f"config.{field} = {value!r:.200} is out of range: give {limits}"
            )
    low, high = config.data.normalise.low, config.data.normalise.high
    if not low < high:
        raise BeadsegError(
            f"config.data.normalise.low = {low} must be below "
            f"config.data.normalise.high = {high}: they are percentiles of the image"
        )
    edges = list(config.data.density_bins)
    if not edges or edges != sorted({*edges}):
        raise BeadsegError(
            f"config.data.density_bins = {config.data.density_bins} must ascend: give "
            "beads per image, such as (0, 20, 50, 100)"
        )
    if (mode := config.log.wandb) not in (*WANDB, *_OF_WANDB):
        raise BeadsegError(
            f"config.log.wandb = {mode!r} is unknown: use one of {', '.join(WANDB)}"
        )


def _within(number: object, limits: Limits) -> bool:
    if number is None:
        return limits.none
    real = isinstance(number, Real) and not isinstance(number, bool)
    return real and limits.low <= number <= limits.high
