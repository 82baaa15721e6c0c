"""What a person gives in Python: one image in memory, or several."""

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.images.pixels import choose_channel, to_grey
from beadseg.data.images.reading import check_image
from beadseg.errors import BeadsegError
from beadseg.quoting import printable

_ARRAY = ("__array__", "__array_interface__", "ndim")


# Of commands, with the arguments that are the same in Python.
_OPTIONS = {"min-score": "min_score", "pixel-size": "pixel_size"}
_OPTIONS |= {name: name for name in ("threshold", "diameter", "polarity")}
_OPTIONS |= {name: name for name in ("top", "tile", "overlap")}
_OPTION = re.compile(rf"(?<![\w-])--({'|'.join(_OPTIONS)})(?![\w-])")
_OTHER = re.compile(r"\banother(?: folder)? with -o(?![\w-])")
_RUN = re.compile(r" with --run(?![\w-])")
_AGAIN = "run the same command again"


def as_arguments(line: str) -> str:
    """A line for who gave options to a command, for who gave arguments in Python."""
    line = _OTHER.sub("another folder", _RUN.sub("", line))
    line = line.replace(_AGAIN, "do it again")
    return _OPTION.sub(lambda found: _OPTIONS[found[1]], line)


@contextmanager
def naming_arguments() -> Iterator[None]:
    """Lets an error name the arguments of Python where it names options."""
    try:
        yield
    except BeadsegError as error:
        error.args = (as_arguments(str(error)), *error.args[1:])
        raise


def is_batch(given: Any) -> bool:
    """Whether these are several images: a list, a dict, a generator."""
    is_one = isinstance(given, str | bytes | Path)
    is_one = is_one or any(hasattr(given, name) for name in _ARRAY)
    return not is_one and isinstance(given, Iterable)


def named(given: Iterable[Any]) -> dict[str, Any]:
    """Several images by name; without names "image_000" and so on.

    Raises:
      BeadsegError: there is none, or two have one name.
    """
    if isinstance(given, Mapping):
        images = {printable(name): array for name, array in given.items()}
        if len(images) < len(given):
            raise BeadsegError("two images have one name: give each its own")
    else:
        arrays = list(given)
        width = max(3, len(str(len(arrays) - 1)))
        images = {f"image_{i:0{width}d}": array for i, array in enumerate(arrays)}
    if not images:
        raise BeadsegError("no image was given: give [H, W] arrays")
    return images


def usable(given: Any, where: str, channel: int | None = None) -> np.ndarray:
    """The grey image [H, W] of an array, in which something can be seen.

    Args:
      given: [H, W] of any real type, or [H, W, 3 or 4] of RGB(A).
      where: which it is, for messages.
      channel: of colours; None: luminance.

    Raises:
      BeadsegError: it is none.
    """
    if isinstance(given, str | bytes | Path):
        raise BeadsegError(
            f"{where}: {given!r} is text, not pixels: read the file first, with "
            "tifffile.imread or the like, or use the command `beadseg predict`"
        )
    try:
        array = np.asarray(given)
    except Exception as error:  # of any library's array
        raise BeadsegError(
            f"{where}: is no array ({' '.join(str(error).split())}): give [H, W] or "
            "[H, W, 3] of numbers"
        ) from None
    if array.dtype.name == "bfloat16":  # of jax
        array = array.astype(np.float32)
    if np.ma.is_masked(given) and array.dtype.kind in "biuf":
        array = given.astype(np.float64).filled(np.nan)  # what is masked has no data
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind in "iuf" and array.ndim == 3 and array.shape[-1] in (1, 3, 4):
        colours = min(array.shape[-1], 3)
        kind = "grey" if colours == 1 else "colour"
        try:
            channel, _ = choose_channel(channel, colours, kind)
        except ValueError:
            raise BeadsegError(
                f"{where}: has no channel {channel}, which the run was trained on: "
                "give that channel alone, [H, W]"
            ) from None
        array = to_grey(array[..., :colours], kind, channel)
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        hint = ""
        if array.dtype.kind in "iuf":
            hint = ", and of a stack the list of its planes"
            if array.ndim < 2:
                hint = "; a list is of several images: of one give numpy.array(...)"
        raise BeadsegError(
            f"{where}: an array of shape {array.shape} and type {array.dtype} is no "
            f"image: give [H, W] or [H, W, 3] of numbers{hint}"
        )
    check_image(array, where, constant=True)
    return array


def progress_bar(items: Iterable[Any], doing: str, unit: str) -> Iterable[Any]:
    """Goes through items with a bar on a terminal or in a notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without widgets has a bar of text
        from tqdm.auto import tqdm
    shown = False if "ipykernel" in sys.modules else None
    return tqdm(items, doing, unit=unit, disable=shown)
