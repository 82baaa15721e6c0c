"""What a file of images holds, as its reader lists it before anything is decoded."""

from typing import NamedTuple


class Plane(NamedTuple):
    """One page image of a file: enough to read it again without parsing the rest.

    Files of one image need none of it; the numbers are those of TIFF.
    """

    directory: int = 0  # byte offset of the image file directory
    number: int = 0  # of the page in the file
    offset: int | None = None  # of raw pixels that no directory of their own describes
    block: tuple[int, ...] = ()  # shape of what the directory describes
    axes: str = ""  # names of the block's axes
    index: tuple[int, ...] = ()  # along those axes of the block that are not Y, X, S
    problem: str = ""  # why it cannot be read


class Stack(NamedTuple):
    """Planes of one shape and meaning, in C order of `axes`."""

    axes: str  # besides Y, X and S; "I" and "Q" are unnamed
    sizes: tuple[int, ...]
    planes: list[Plane]
    shape: tuple[int, int]  # H, W
    kind: str  # "grey", "colour", or "samples" of unknown meaning
    samples: int  # without alpha
    pixel_size: tuple[float, float] | None = None  # x, y in um
    notes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # their names, if the file has them
    scene: str = ""  # of several
    level: int = 0  # of a pyramid; 0: the full one
