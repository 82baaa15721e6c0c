"""Reading PNG, JPEG and BMP files, as viewers show them.

Raises ValueError with a reason; `reading` adds the file.
"""

import io
import logging
import struct
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from beadseg.data.images.pixels import through_palette
from beadseg.data.images.stacks import Plane, Stack

# imagecodecs tells its log of damage before it raises; one line is enough.
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL + 1)

_PNG_HEAD = 8  # bytes of its signature
ORIENTATION = 0x0112  # tag of EXIF and of TIFF
_DENSEST = 1024  # px of JPEG in a byte: twice what a scan of one bit a block holds
# Scanned slides are larger than Pillow's limit; `reading.check_fits` looks at memory.
Image.MAX_IMAGE_PIXELS = None


def scan_png(path: Path) -> tuple[list[Stack], str]:
    """Reads the header and checks that every chunk up to the last is there."""
    return _one(*_png_header(path))


def _png_header(path: Path) -> tuple[tuple[int, int], str, int, int]:
    """The arguments of `_one`."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(_PNG_HEAD)
        header, exif = None, False
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise ValueError("it is cut short")
            length, name = struct.unpack(">I4s", head)
            if name == b"IHDR":
                header = struct.unpack(">IIBB", file.read(10))
                length -= 10
            exif |= name == b"eXIf"
            if file.seek(length + 4, io.SEEK_CUR) > size:
                raise ValueError("it is cut short")
            if name == b"IEND":
                break
    if header is None:
        raise ValueError("its header is missing")
    width, height, _, colour = header
    kind = ("colour", 3) if colour & 2 else ("grey", 1)
    return (height, width), *kind, _orientation(path) if exif else 1


def scan_jpeg(path: Path) -> tuple[list[Stack], str]:
    """Reads the size from the frame header and checks that the end is there."""
    data = path.read_bytes()
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker, length = (
            data[position + 1],
            struct.unpack_from(">H", data, position + 2),
        )
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, parts = struct.unpack_from(">HHB", data, position + 5)
            if parts not in (1, 3):
                raise ValueError("its colours are CMYK: save it as grey or RGB")
            if not jpeg_ends(data):
                raise ValueError("it is cut short")
            if height * width > _DENSEST * len(data):  # the decoder would draw grey
                raise ValueError(
                    f"its header says {height} x {width} px, more than the file holds"
                )
            kind = "colour" if parts == 3 else "grey"
            return _one((height, width), kind, parts, _orientation(path))
        # 0xFF may be repeated before a marker.
        position += 1 if marker == 0xFF else 2 + length[0]
    raise ValueError("its header is corrupt")


def scan_bmp(path: Path) -> tuple[list[Stack], str]:
    """Reads the header."""
    with Image.open(path, formats=["BMP"]) as image:
        grey = image.mode in ("1", "L")
        shape = (image.height, image.width)
        return _one(shape, *(("grey", 1) if grey else ("colour", 3)))


def read_png(path: Path, plane: Plane, stored: bool) -> np.ndarray:
    """Returns [H, W] or [H, W, S], 8 or 16 bits.

    `stored` keeps palette indices, and the alpha of grey.
    """
    data = path.read_bytes()
    if data[25] != 3:
        array = imagecodecs.png_decode(data)
        # Transparency of a colour adds a last channel; grey becomes grey and alpha.
        if not stored and array.ndim == 3 and array.shape[2] < 3:
            array = array[..., 0]
        return upright(array, _png_header(path)[-1])
    with Image.open(io.BytesIO(data)) as image:
        array = _through_palette(image, stored)
    return upright(array, _png_header(path)[-1])


def read_jpeg(path: Path, plane: Plane, stored: bool) -> np.ndarray:
    """Returns [H, W] or [H, W, 3], 8 or 12 bits."""
    return upright(imagecodecs.jpeg_decode(path.read_bytes()), _orientation(path))


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, ...] as viewers show it: turned or mirrored as EXIF 1 to 8 says."""
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)


def turned(
    shape: tuple[int, int], orientation: int, where: str
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """The shape after `upright`, and a note on what is turned.

    Args:
      shape: H, W.
      orientation: 1 to 8.
      where: it is said, for the note.
    """
    if orientation == 1:
        return shape, ()
    note = f"turned as its {where} orientation {orientation} says"
    return shape[::-1] if orientation >= 5 else shape, (note,)


def known_orientation(found: object) -> int:
    """1 to 8; 1, which turns nothing, for anything else."""
    return int(found) if found in range(1, 9) else 1


def _orientation(path: Path) -> int:
    try:
        with Image.open(path) as image:
            return known_orientation(image.getexif().get(ORIENTATION))
    except Exception:  # damaged EXIF says nothing; damaged pixels are found elsewhere
        return 1


def _one(
    shape: tuple[int, int], kind: str, samples: int, orientation: int = 1
) -> tuple[list[Stack], str]:
    """The only image of a file, as viewers turn it by the orientation of its EXIF."""
    shape, notes = turned(shape, orientation, "EXIF")
    return [Stack("", (), [Plane()], shape, kind, samples, notes=notes)], ""


def read_bmp(path: Path, plane: Plane, stored: bool) -> np.ndarray:
    """Returns [H, W] or [H, W, 3 or 4], 8 bits; `stored` keeps palette indices."""
    with Image.open(path, formats=["BMP"]) as image:
        return _through_palette(image, stored) if image.mode == "P" else np.array(image)


def _through_palette(image: Image.Image, stored: bool) -> np.ndarray:
    indices = np.asarray(image)
    flat = np.array(image.getpalette(), np.uint8)
    table = np.zeros((256, 3), np.uint8)
    table[: flat.size // 3] = flat.reshape(-1, 3)
    return through_palette(indices, table, stored)


def jpeg_ends(data: bytes) -> bool:
    """Whether a JPEG stream has its end; libjpeg fills what is missing with grey."""
    scan_start = data.find(b"\xff\xda")
    return scan_start >= 0 and data.find(b"\xff\xd9", scan_start) >= 0
