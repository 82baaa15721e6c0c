"""Runs as prediction needs them: network, weights, threshold, bead size, brightness.

Where the weights of a run are looked for:
  `weights.npz`, written when training ends, or when a run is packaged
  `checkpoints/`, the one with the best validation score, of a run that was stopped
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from beadseg import __version__
from beadseg.data.images.stacks import STACKS
from beadseg.data.masks import sizes
from beadseg.data.masks.instances import alike
from beadseg.default_model import DEFAULT
from beadseg.errors import BeadsegError
from beadseg.files import read_file, read_json
from beadseg.inference.networks.runtime import Graph, graph_of
from beadseg.inference.settings import DEFAULT_NAME
from beadseg.quoting import printable
from beadseg.training.run_folder import ROUNDS
from beadseg.training.tracking.summary import SUMMARY, best_of
from beadseg.training.tracking.tracker import read_rows
from beadseg.training.weights import WEIGHTS, Weights, read_weights

if TYPE_CHECKING:  # which loads flax
    from beadseg.models.network import Network

FACTOR = 64  # most by which a run enlarges or reduces its images
LARGEST = 1e5  # px of a bead, or um of a pixel: more is damage
LEADERBOARD = "leaderboard.csv"  # of a sweep; its runs are in members/


@dataclass(frozen=True)
class Run:
    """A trained network and how its images were made ready for it."""

    path: Path
    model_config: ConfigDict
    weights: Weights
    graph: Graph  # of the network
    threshold: float  # of the mask's probability
    bead_diameter: float | None  # px, of the median bead as the network saw it
    smallest_bead: float | None  # of those trained on, in median diameters
    faintest_bead: float | None  # relative contrast that those trained on reach
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

    def build(self) -> "Network":
        """The network."""
        from beadseg import models

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
    def alike_from(self) -> float:
        """px across the smallest bead as the network saw it; 0: they differ in size."""
        if self.bead_diameter is None or not alike(self.smallest_bead):
            return 0.0
        return self.bead_diameter * self.smallest_bead

    @property
    def variables(self) -> dict[str, Any]:
        """What the network is applied with."""
        return {"params": self.weights.params, "batch_stats": self.weights.statistics}


def load_runs(paths: list[Path], top: int | None = None) -> list[Run]:
    """Reads runs; of a sweep the best `top` members (1), of rounds the best.

    Args:
      paths: folders of runs, sweeps or self-training; none, or "default": the default
        model.
      top: members of each sweep, by their place in its leaderboard.

    Raises:
      BeadsegError: see `load_run`; or `top` for what is no sweep.
    """
    paths = list(map(Path, paths)) or [DEFAULT]
    paths = [DEFAULT if str(p) == "default" and not p.exists() else p for p in paths]
    if DEFAULT in paths and not (DEFAULT / WEIGHTS).exists():
        raise BeadsegError(
            "this copy of beadseg has no default model: train a run (python -m "
            "beadseg.main --config=configs/dice.py) and give it with --run"
        )
    if top is not None and top < 1:
        raise BeadsegError(f"--top {top}: give at least 1")
    folders = []
    for path in map(_best_round, paths):
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
    config = read_part(path, "config.json")
    if config is None:
        raise BeadsegError(
            f"{path}: not a run folder (no config.json in it): give the folder that "
            "training printed as run folder"
        )
    version = _version(path)
    try:
        return _load(path, config, version)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = "a setting in its files is of the wrong kind"
        if isinstance(error, KeyError):
            what = f"its files lack {error.args[0]}"
        elif isinstance(error, ValueError):
            what = str(error)
        raise _other_version(path, version, what) from error


def _load(path: Path, config: dict[str, Any], version: str) -> Run:
    data, model = config["data"], ConfigDict(config["model"])
    dataset = read_part(path, "dataset.json")
    weights, notes = _weights(path)
    if dataset is None:
        raise BeadsegError(
            f"{path}: dataset.json is missing: copy the run folder again"
        )
    threshold, more = _threshold(path)
    graph = graph_of(model, weights, lambda: _network(path, version, model, weights))
    if graph.extent.receptive_field is None:
        notes.append(
            f"{path}: its network looks at the whole image: one larger than --tile is "
            "predicted in parts, and differs a little from one predicted at once"
        )
    _check_reading(path, data)
    _check_dataset(path, dataset)
    scale = dataset["scale"]
    diameter = dataset["bead_diameter_px"]
    generated = not data["dir"]
    normalise = dataset["normalise"]
    return Run(
        path=path,
        model_config=model,
        weights=weights,
        graph=graph,
        threshold=threshold,
        bead_diameter=None if diameter is None else diameter * scale,
        smallest_bead=dataset.get("smallest_bead"),  # not in older runs
        faintest_bead=None if generated else dataset.get("faintest_bead"),  # likewise
        scale=scale,
        sizes=sizes.known_by(config, dataset),
        pixel_size=dataset.get("pixel_size_um"),
        generated=generated,
        low=normalise["low"],
        high=normalise["high"],
        flatten_sigma=normalise["flatten_sigma"] * scale,
        channel=data["channel"],
        stack=data["stack"],
        notes=(*notes, *more),
    )


def _version(path: Path) -> str:
    """What made the run: words for messages, which damage does not stop."""
    try:
        found = read_json(path / "versions.json").get("beadseg")
    except (OSError, ValueError):
        found = None
    return printable(found) if isinstance(found, str) else "an unknown version"


def _threshold(path: Path) -> tuple[float, list[str]]:
    """Of the summary, or of the best evaluation so far; and notes."""
    notes = []
    try:
        found = read_json(path / SUMMARY)["threshold"]
        if _is_within(found, 0, 1):
            return float(found), []
        raise ValueError(f"threshold is {found!r}")
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError) as error:
        notes = [
            f"{path / SUMMARY}: damaged ({error}); the threshold is that of the best "
            "evaluation in metrics.jsonl. Training's command writes it anew"
        ]
    return float(_so_far(path)["threshold"]), notes


def _check_dataset(path: Path, dataset: dict[str, Any]) -> None:
    """Raises BeadsegError for numbers with which no image can be made ready."""
    normalise = dataset["normalise"]
    low, high = normalise["low"], normalise["high"]
    wrong = None
    if not _is_within(dataset["scale"], 1 / FACTOR, FACTOR):
        wrong = f"scale = {dataset['scale']!r}"
    elif not (_is_within(low, 0, 100) and _is_within(high, 0, 100) and low < high):
        wrong = f"normalise.low and high = {low!r}, {high!r}"
    elif not _is_within(normalise["flatten_sigma"], 0, LARGEST):
        wrong = f"normalise.flatten_sigma = {normalise['flatten_sigma']!r}"
    for field in ("bead_diameter_px", "smallest_bead", "pixel_size_um"):
        value = dataset.get(field)
        if value is not None and not _is_within(value, 1e-9, LARGEST):
            wrong = f"{field} = {value!r}"
    known = dataset.get("sizes")
    if known is not None and not (
        len(known) == 2
        and _is_within(known[0], 1e-9, LARGEST)
        and _is_within(known[1], known[0], LARGEST)
    ):
        wrong = f"sizes = {known!r}"
    faintest = dataset.get("faintest_bead")
    if faintest is not None and not _is_within(faintest, -1, 1):
        wrong = f"faintest_bead = {faintest!r}"
    if wrong:
        raise BeadsegError(
            f"{path / 'dataset.json'}: {wrong} cannot be: it is damaged; copy it again "
            "or run the command of the training again, which writes it anew"
        )


def _check_reading(path: Path, data: dict[str, Any]) -> None:
    """Raises BeadsegError for settings with which no image can be read."""
    channel, stack = data["channel"], data["stack"]
    numbered = type(channel) is int and channel >= 0
    for field, value, can_be in (
        ("channel", channel, numbered or channel is None),
        ("stack", stack, stack in STACKS),
    ):
        if not can_be:
            raise BeadsegError(
                f"{path / 'config.json'}: data.{field} = {value!r} cannot be: it is "
                "damaged; copy it again"
            )


def _is_within(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high


def _weights(path: Path) -> tuple[Weights, list[str]]:
    damaged = None
    if (path / WEIGHTS).exists():
        try:
            return read_weights(path / WEIGHTS), []
        except BeadsegError as error:
            damaged = error
    from beadseg.training.checkpoints import best_state  # loads orbax

    state = best_state(path / "checkpoints")
    if state is None and damaged is not None:
        raise damaged
    if damaged is not None:
        note = f"{damaged}; using the best checkpoint"
        return Weights(state["params"], state["statistics"] or {}), [note]
    if state is None and (path / SUMMARY).exists():
        raise BeadsegError(
            f"{path}: {WEIGHTS} is missing, and there are no checkpoints: copy the run "
            "folder again, or train again"
        )
    if state is None:
        raise BeadsegError(
            f"{path}: training never reached a checkpoint: run its command again "
            "until the first epoch is done"
        )
    weights = Weights(state["params"], state["statistics"] or {})
    note = f"{path}: training is not finished; using its best checkpoint"
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


def _network(
    path: Path, version: str, model: ConfigDict, weights: Weights
) -> "Network":
    """The network; raises if this version knows none with these weights."""
    import jax
    import jax.numpy as jnp

    from beadseg import models

    unknown = sorted(set(model) - models.settings())
    if unknown:
        raise _other_version(path, version, f"model.{unknown[0]} is unknown here")
    try:
        network = models.build(model)
    except BeadsegError as error:
        raise _other_version(path, version, str(error)) from error
    image = jnp.zeros((1, network.stride, network.stride, 1))
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
    return network


def _other_version(path: Path, version: str, reason: str) -> BeadsegError:
    if version == __version__:
        return BeadsegError(
            f"{path}: damaged, or made with another copy of beadseg ({reason}): copy "
            "the run folder again, or train again"
        )
    return BeadsegError(
        f"{path}: made with beadseg {version}, and this is {__version__} ({reason}): "
        "predict with that version, or train again with this one"
    )


def _best_round(path: Path) -> Path:
    """The best run of a self-training folder; another folder as it is."""
    record = read_part(path, ROUNDS) if path.is_dir() else None
    try:
        if record is None:
            return path
        if not re.fullmatch(r"round_\d+/run", record["best"]):
            raise KeyError("best")
        return path / record["best"]
    except (KeyError, TypeError) as error:
        raise BeadsegError(
            f"{path / ROUNDS}: does not say which round is the best: run the "
            "command of the self-training again"
        ) from error


def _members(path: Path) -> list[Path] | None:
    """The members of a sweep, best first; None for what is no sweep."""
    board = path / LEADERBOARD
    if not board.exists():
        if (path / "members").is_dir() and not (path / "config.json").exists():
            raise BeadsegError(
                f"{path}: this sweep has no {LEADERBOARD} yet: run its command again "
                "until it is finished, or give a folder of its members/"
            )
        return None
    try:
        text = read_file(board).decode(errors="replace")
        rows = list(csv.DictReader(io.StringIO(text), restkey="shifted"))
        names = [None if "shifted" in row else row.get("member") for row in rows]
    except (OSError, csv.Error) as error:
        raise BeadsegError(
            f"{board}: cannot be read ({error}): delete this one file and run the "
            "command of the sweep again, which writes it anew"
        ) from error
    if not names or not all(re.fullmatch(r"\d{1,6}", str(name)) for name in names):
        raise BeadsegError(
            f"{board}: damaged, it lists no members: delete this one file and run the "
            "command of the sweep again, which writes it anew"
        )
    return [path / "members" / f"{int(name):03d}" for name in names]


def read_part(path: Path, name: str) -> dict[str, Any] | None:
    """A JSON file of a run folder; None: there is none.

    Raises:
      BeadsegError: it is damaged.
    """
    file = path / name
    try:
        return read_json(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BeadsegError(
            f"{file}: cannot be read ({error}): copy this file again, or run the "
            "command of the training again, which writes it anew or says what to do"
        ) from error
