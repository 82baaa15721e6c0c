"""Runs as prediction needs them: network, weights, threshold, bead size, brightness.

Where the weights of a run are looked for:
  `weights.npz`, written when training ends, or when a run is packaged
  `checkpoints/`, the one with the best validation score, of a run that was stopped
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from beadseg import __version__, models
from beadseg.data.instances import ONE_SIZE
from beadseg.errors import BeadsegError
from beadseg.inference.settings import DEFAULT_NAME
from beadseg.training.checkpoints import best_state
from beadseg.training.run_folder import ROUNDS
from beadseg.training.start import DEFAULT
from beadseg.training.summary import best_of
from beadseg.training.tracking import read_rows
from beadseg.training.weights import WEIGHTS, Weights, read_weights

LEADERBOARD = "leaderboard.csv"  # of a sweep; its runs are in members/


@dataclass(frozen=True)
class Run:
    """A trained network and how its images were made ready for it."""

    path: Path
    model_config: ConfigDict
    weights: Weights
    threshold: float  # of the mask's probability
    bead_diameter: float | None  # px, of the median bead as the network saw it
    smallest_bead: float | None  # of those trained on, in median diameters
    scale: float  # pixels of the network to a pixel of the images trained on
    sizes: tuple[float, float] | None  # px, beads that are found on a pyramid
    pixel_size: float | None  # um, of the images trained on
    generated: bool  # no image of a microscope was among them
    low: float  # percentile of the image that becomes 0
    high: float  # percentile that becomes 1
    flatten_sigma: float  # px of the network; 0: off
    channel: int | None  # of several that the images were read with
    stack: str
    notes: tuple[str, ...]  # lines to print

    @property
    def name(self) -> str:
        """Words for messages and results."""
        return DEFAULT_NAME if self.path == DEFAULT else str(self.path)

    def build(self) -> nn.Module:
        """The network."""
        return models.build(self.model_config)

    def preparation(self, scale: float, least_span: float = 0.0) -> dict[str, float]:
        """What `scaling.prepare` is given for an image at a scale, as in training."""
        return {
            "low": self.low,
            "high": self.high,
            "flatten_sigma": self.flatten_sigma / scale,
            "scale": scale,
            "least_span": least_span,
        }

    @property
    def variables(self) -> dict[str, Any]:
        """What the network is applied with."""
        return {"params": self.weights.params, "batch_stats": self.weights.statistics}


def load_runs(paths: list[Path], top: int | None = None) -> list[Run]:
    """Reads runs; of a sweep the best `top` members (1), of rounds the best.

    Args:
      paths: folders of runs, sweeps or rounds; none: the default model.
      top: members of each sweep, by their place in its leaderboard.

    Raises:
      BeadsegError: see `load_run`; or `top` for what is no sweep.
    """
    if not paths:
        if not (DEFAULT / WEIGHTS).exists():
            raise BeadsegError(
                "this copy of beadseg has no default model: train a run "
                "(python -m beadseg.main --config=configs/dice.py) and give it with "
                "--run"
            )
        paths = [DEFAULT]
    if top is not None and top < 1:
        raise BeadsegError(f"--top {top}: give at least 1")
    folders = []
    for path in map(_best_round, map(Path, paths)):
        members = _members(path)
        if members is None and top is not None:
            raise BeadsegError(f"{path}: --top {top} is for a sweep, and this is none")
        folders += [path] if members is None else members[: top or 1]
    return [load_run(folder) for folder in folders]


def load_run(path: Path) -> Run:
    """Reads a run folder.

    Raises:
      BeadsegError: there is no such folder, it is no run, it is damaged, of another
        version that this one cannot read, or has no weights yet.
    """
    path = Path(path)
    if not path.is_dir():
        what = "is a file, not a run folder" if path.exists() else "no such run"
        raise BeadsegError(f"{path}: {what}: give the folder of a run with --run")
    config = _read(path, "config.json")
    if config is None:
        raise BeadsegError(
            f"{path}: not a run folder (no config.json in it): give the folder that "
            "training printed as run folder"
        )
    version = (_read(path, "versions.json") or {}).get("beadseg", "an unknown version")
    try:
        return _load(path, config, version)
    except (KeyError, TypeError, AttributeError) as error:
        what = error.args[0] if isinstance(error, KeyError) else error
        raise _other_version(path, version, f"its files lack {what}") from error


def _load(path: Path, config: dict[str, Any], version: str) -> Run:
    data, model = config["data"], ConfigDict(config["model"])
    known = set(models.unet.UNet.__dataclass_fields__) | {"dropout", "bfloat16"}
    unknown = sorted(set(model) - known)
    if unknown:
        raise _other_version(path, version, f"model.{unknown[0]} is unknown here")
    dataset = _read(path, "dataset.json")
    weights, notes = _weights(path)
    if dataset is None:
        raise BeadsegError(
            f"{path}: dataset.json is missing: copy the run folder again"
        )
    summary = _read(path, "summary.json") or _so_far(path)
    _check_fit(path, version, model, weights)
    scale = dataset["scale"]
    diameter = dataset["bead_diameter_px"]
    sizes = tuple(data["generated"].get("sizes", ()))  # not in older runs
    generated = not data["dir"]
    if generated and not sizes and diameter is not None:
        sizes = tuple(share * diameter * scale for share in ONE_SIZE)
    normalise = dataset["normalise"]
    return Run(
        path=path,
        model_config=model,
        weights=weights,
        threshold=summary["threshold"],
        bead_diameter=None if diameter is None else diameter * scale,
        smallest_bead=dataset.get("smallest_bead"),  # not in older runs
        scale=scale,
        sizes=sizes if generated and sizes else None,
        pixel_size=dataset.get("pixel_size_um"),
        generated=generated,
        low=normalise["low"],
        high=normalise["high"],
        flatten_sigma=normalise["flatten_sigma"] * scale,
        channel=data["channel"],
        stack=data["stack"],
        notes=tuple(notes),
    )


def _weights(path: Path) -> tuple[Weights, list[str]]:
    if (path / WEIGHTS).exists():
        return read_weights(path / WEIGHTS), []
    state = best_state(path / "checkpoints")
    if state is None:
        raise BeadsegError(
            f"{path}: training never reached a checkpoint: run its command again "
            "until the first epoch is done"
        )
    weights = Weights(state["params"], state["statistics"] or {})
    note = f"{path}: training has not come to its end; using its best checkpoint"
    return weights, [note]


def _so_far(path: Path) -> dict[str, Any]:
    """What a summary would say of a run that goes on: its best evaluation."""
    rows = read_rows(path / "metrics.jsonl")
    scores = [row for row in rows if row["kind"] == "validation"]
    if not scores:
        raise BeadsegError(
            f"{path}: metrics.jsonl holds no validation, so there is no threshold: "
            "copy the run folder again, or train again"
        )
    return best_of(scores)


def _check_fit(path: Path, version: str, model: ConfigDict, weights: Weights) -> None:
    """Raises if the network that this version builds has other weights."""
    network = models.build(model)
    side = models.stride(model)
    image = jnp.zeros((1, side, side, 1))
    wanted = jax.eval_shape(network.init, jax.random.key(0), image)
    have = {"params": weights.params, "batch_stats": weights.statistics}
    for kind, tree in have.items():
        shapes = [
            {jax.tree_util.keystr(k): v.shape for k, v in leaves}
            for leaves in map(
                jax.tree_util.tree_leaves_with_path, (wanted.get(kind, {}), tree)
            )
        ]
        if shapes[0] != shapes[1]:
            raise _other_version(
                path, version, "its weights fit no network of this one"
            )


def _other_version(path: Path, version: str, reason: str) -> BeadsegError:
    return BeadsegError(
        f"{path}: made with beadseg {version}, and this is {__version__} ({reason}): "
        "predict with that version, or train again with this one"
    )


def _best_round(path: Path) -> Path:
    """The best run of a folder of rounds; another folder as it is."""
    record = _read(path, ROUNDS) if path.is_dir() else None
    try:
        return path if record is None else path / record["best"]
    except (KeyError, TypeError) as error:
        raise BeadsegError(
            f"{path / ROUNDS}: does not say which round is the best: run the command "
            "of the rounds again"
        ) from error


def _members(path: Path) -> list[Path] | None:
    """The members of a sweep, best first; None for what is no sweep."""
    board = path / LEADERBOARD
    if not board.exists():
        if (path / "members").is_dir() and not (path / "config.json").exists():
            raise BeadsegError(
                f"{path}: this sweep has no {LEADERBOARD} yet: run its command again "
                "until it has come to its end, or give a folder of its members/"
            )
        return None
    with open(board, newline="") as file:
        names = [row.get("member") for row in csv.DictReader(file)]
    if not names or None in names:
        raise BeadsegError(f"{board}: it lists no member: run the sweep again")
    return [path / "members" / f"{int(name):03d}" for name in names]


def _read(path: Path, name: str) -> Any | None:
    file = path / name
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BeadsegError(
            f"{file}: cannot be read ({error}): copy the run folder again"
        ) from error
