"""Overlays of a prediction as small pictures that open large."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import imagecodecs
from PIL import Image

from beadseg.analysis.prediction.found import Found
from beadseg.files import read_file
from beadseg.page import Page
from beadseg.quoting import counted

OVERLAYS = "overlays"  # the folder
MOST = 400  # pictures, the first in doubt
_SIDES = ((30, 560), (100, 360), (MOST, 240))  # px by the number of pictures


def add_gallery(page: Page, found: Found, order: list[int]) -> bool:
    """Adds the overlays that there are of rows, in an order; whether there is any."""
    files = [
        (found.rows[i], found.folder / OVERLAYS / f"{found.rows[i]['image']}.png")
        for i in order[:MOST]
    ]
    files = [(row, file) for row, file in files if file.is_file()]
    if not files:
        return False
    side = next(side for most, side in _SIDES if len(files) <= most)
    with ThreadPoolExecutor(2) as pool:
        small = list(pool.map(lambda of: _small(of[1], side), files))
    pictures = [
        (jpeg, _caption(row), quote(f"{OVERLAYS}/{file.name}"))
        for (row, file), jpeg in zip(files, small, strict=True)
        if jpeg is not None
    ]
    page.gallery(pictures, width=16 if side > 300 else 9)
    return bool(pictures)


def _caption(row: dict) -> str:
    beads = counted(row["count"], "bead")
    return f"{row['image']}: {beads}" + (f" ({row['doubt']})" if row["doubt"] else "")


def _small(file: Path, side: int) -> bytes | None:
    """A JPEG of an overlay; None where it is damaged."""
    try:
        picture = Image.fromarray(imagecodecs.png_decode(read_file(file)))
    except Exception:  # damaged in any way: the tables do not need it
        return None
    picture.thumbnail((side, side), reducing_gap=2.0)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=72, optimize=True)
    return content.getvalue()
