"""`weights.npz` of a run: its best weights, readable with numpy alone."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.config import flatten
from beadseg.errors import BeadsegError
from beadseg.files import read_arrays, write_whole, writing

WEIGHTS = "weights.npz"


class Weights(NamedTuple):
    """Parameters and running statistics of the norms, as nested dicts of f32."""

    params: dict[str, Any]
    statistics: dict[str, Any]  # empty for norms that keep none


def write_weights(file: Path, params: Any, statistics: Any) -> None:
    """Writes the arrays under keys such as "params/encoder_0/conv_0/kernel"."""
    flat = flatten(Weights(params, statistics)._asdict(), "/")
    flat = {key: np.asarray(x, np.float32) for key, x in flat.items()}
    content = io.BytesIO()
    np.savez(content, **flat)
    with writing(file):
        write_whole(file, content.getvalue())


def read_weights(file: Path) -> Weights:
    """Reads what `write_weights` wrote.

    Raises:
      BeadsegError: the file is damaged.
    """
    trees: dict[str, Any] = {kind: {} for kind in Weights._fields}
    try:
        for key, array in read_arrays(file).items():
            *parents, name = key.split("/")
            node = trees
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = array
    except Exception as error:  # zip, zlib and numpy raise many kinds
        raise BeadsegError(
            f"{file}: damaged ({error}): copy it again, or train the run again"
        ) from error
    return Weights(trees["params"], trees["statistics"])
