"""What runs a network at prediction: ONNX Runtime on processors, else JAX.

On two cores ONNX Runtime is 1.5 times as fast as XLA (`python -m tests.bench.runtime`),
needs no program for each shape of a window, and starts without JAX. Its graph is kept
between processes. A network without a graph, and one on a GPU, is run by JAX.
"""

import contextlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from beadseg.config import flatten
from beadseg.data.cache import cache_dir, hash_arrays, hash_file, hash_json
from beadseg.errors import BeadsegError
from beadseg.files import read_file, write_whole
from beadseg.training.weights import Weights
from beadseg.xla import accelerated

if TYPE_CHECKING:  # which loads jax
    from beadseg.inference.run import Run
    from beadseg.models.network import Network

_ROOMS = Path(__file__).parents[2]
SPARE = 2**21  # pixels of padding that cost as much as compiling another program
_FATAL = 4  # severity of what ONNX Runtime says itself; errors are raised

Fetch = Callable[[], np.ndarray]  # waits for the maps of a window, f32[h, w, heads]


class Extent(NamedTuple):
    """What of an image a network looks at, see `beadseg.models.network.Network`."""

    stride: int
    margin: int
    receptive_field: int | None


class Graph(NamedTuple):
    """A network, and what ONNX Runtime needs to run it."""

    extent: Extent
    content: bytes | None  # ONNX; None: JAX runs it


class Runtime(Protocol):
    """Runs one network."""

    extent: Extent
    joins_images: bool  # several in one window cost less than each alone

    def start(self, window: np.ndarray, inside: np.ndarray | None) -> Fetch:
        """Begins with a window f32[h, w], h and w multiples of the stride.

        Args:
          window: of an image, or of several with a stride between them at least.
          inside: bool[h, w], what of it is image; None: all.
        """
        ...


def graph_of(
    model: ConfigDict, weights: Weights, build: Callable[[], "Network"]
) -> Graph:
    """The graph of a network, of the cache where it is there.

    Args:
      model: `config.model`.
      weights: that were trained.
      build: checks that they fit, and gives the network; called where none is kept.

    Raises:
      BeadsegError: of `build`.
    """
    if accelerated():
        return Graph(_extent(build()), None)
    file = _kept_at(model, weights)
    kept = None if file is None else _read(file)
    return kept or _made(model, weights, build(), file)


def _kept_at(model: ConfigDict, weights: Weights) -> Path | None:
    flat = flatten(weights._asdict(), "/")
    code = [_ROOMS / "inference" / "export" / "onnx_graph.py"]
    code += sorted((_ROOMS / "models").glob("*.py"))
    key = hash_json([model.to_dict(), [*map(hash_file, code)], sorted(flat)])
    arrays = hash_arrays(*(np.asarray(flat[name]) for name in sorted(flat)))
    try:
        return cache_dir(None) / "graphs" / f"{hash_json([key, arrays])}.onnx"
    except BeadsegError:  # nothing but time is lost
        return None


def _read(file: Path) -> Graph | None:
    try:
        content = read_file(file)
        head, _, graph = content.partition(b"\n")
        about = json.loads(head)
        if about["hash"] == _hash(graph):
            return Graph(Extent(**about["extent"]), graph)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ):  # damaged, or none
        pass
    return None


def _made(
    model: ConfigDict, weights: Weights, network: "Network", file: Path | None
) -> Graph:
    from beadseg.inference.export.onnx_graph import GRAPHS, build_graph

    extent = _extent(network)
    if type(network) not in GRAPHS:
        return Graph(extent, None)
    content = build_graph(model, weights).SerializeToString()
    if file is not None:
        head = json.dumps({"hash": _hash(content), "extent": extent._asdict()})
        with contextlib.suppress(OSError):  # nothing but time is lost
            file.parent.mkdir(exist_ok=True)
            write_whole(file, head.encode() + b"\n" + content)
    return Graph(extent, content)


def _hash(content: bytes) -> str:
    return hash_arrays(np.frombuffer(content, np.uint8))


def _extent(network: "Network") -> Extent:
    return Extent(*(getattr(network, field) for field in Extent._fields))


def runtime(run: "Run") -> Runtime:
    """What runs the network of a run."""
    return _Jax(run) if run.graph.content is None else _Onnx(run.graph)


class _Onnx:
    """ONNX Runtime, on all processors that this process may use."""

    joins_images = False

    def __init__(self, graph: Graph):
        import onnxruntime

        self.extent = graph.extent
        onnxruntime.set_default_logger_severity(_FATAL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _processors()
        # Its threads would go on asking for work while Python has some to do.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph.content, options, providers=["CPUExecutionProvider"]
        )
        self._thread = ThreadPoolExecutor(1)

    def start(self, window: np.ndarray, inside: np.ndarray | None) -> Fetch:
        return self._thread.submit(self._run, window).result

    def _run(self, window: np.ndarray) -> np.ndarray:
        try:
            maps = self._session.run(None, {"image": window[None, None]})
        except Exception as error:  # of a library without a class for this
            if "allocate memory" not in str(error):
                raise
            raise MemoryError(f"network, window of {window.shape}") from None
        return np.stack([each[0, 0] for each in maps], -1)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Jax:
    """JAX: a program for each of few shapes, which windows are filled up to."""

    def __init__(self, run: "Run"):
        import jax
        import jax.numpy as jnp

        from beadseg.models.extent import apply_within

        model, heads = run.build(), run.model_config.heads
        self.extent = run.graph.extent
        self.joins_images = model.fits_any_window
        self._shapes: set[tuple[int, int]] = set()
        self._padding: Counter[tuple[int, int]] = Counter()  # px, of windows so far
        self._variables = jax.tree.map(jnp.asarray, run.variables)

        def apply(variables, windows, inside):
            if model.fits_any_window:
                outputs = apply_within(model, variables, windows, inside)
            else:
                outputs = model.apply(variables, windows)
            logits = jnp.concatenate([outputs[head] for head in heads], -1)
            return jax.nn.sigmoid(logits)

        self._apply = jax.jit(apply)

    def start(self, window: np.ndarray, inside: np.ndarray | None) -> Fetch:
        height, width = window.shape
        if inside is None:
            inside = np.ones(window.shape, bool)
        if self.joins_images:
            shape = self._shape_for(window.shape)
            rest = [(0, n - m) for n, m in zip(shape, window.shape, strict=True)]
            window, inside = (np.pad(each, rest) for each in (window, inside))
        maps = self._apply(self._variables, window[None, :, :, None], inside[None])
        return lambda: np.asarray(maps)[0, :height, :width]

    def _shape_for(self, window: tuple[int, int]) -> tuple[int, int]:
        """The shape of a program that holds the window.

        One compiled before, until padding windows of this shape to it has cost as much
        as one for them.
        """
        fitting = [
            shape
            for shape in self._shapes
            if all(n >= m for n, m in zip(shape, window, strict=True))
        ]
        if fitting:
            best = min(fitting, key=math.prod)
            self._padding[window] += math.prod(best) - math.prod(window)
            if self._padding[window] <= SPARE:
                return best
        best = tuple(_round_length(n, self.extent.stride) for n in window)
        self._shapes.add(best)
        return best


def _round_length(length: int, stride: int) -> int:
    """The next of eight lengths between powers of two."""
    step = max(stride, 32, 2 ** (math.floor(math.log2(length)) - 3))
    return math.ceil(length / step) * step
