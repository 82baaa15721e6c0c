"""An image as the review page gets it: bytes of one channel, and what they are."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import open_pages
from beadseg.partial.completed import read_proposals


class Picture(NamedTuple):
    """An image as the page gets it."""

    array: np.ndarray  # u8 or little-endian u16 [H, W]
    channels: int  # that can be chosen among
    low: float  # black and white to begin with
    high: float

    def part(self, step: int) -> tuple[bytes, dict[str, Any]]:
        """Every `step`th pixel, and what the page must know of them."""
        array = np.ascontiguousarray(self.array[::step, ::step])
        facts = {
            "height": array.shape[0],
            "width": array.shape[1],
            "bits": 8 * array.dtype.itemsize,
            "channels": self.channels,
            "low": self.low,
            "high": self.high,
        }
        return array.tobytes(), facts


def read_picture(folder: Path, name: str, channel: int | None) -> Picture:
    """Reads an image; other types than u8 are spread over 16 bits."""
    about = read_proposals(folder, name)
    path = folder / "images" / Path(about["image"]).name
    stack = about.get("stack", "pages")
    page = open_pages(path, channel=channel, stack=stack)[0]
    stored = page.read_stored()
    channels = min(stored.shape[-1], 3) if stored.ndim == 3 else 1
    array, _ = fill(stored if stored.ndim == 2 else page.read())
    if array.dtype != np.uint8:
        low, high = float(np.nanmin(array)), float(np.nanmax(array))
        spread = (array - np.float32(low)) * np.float32(65535 / ((high - low) or 1.0))
        array = np.nan_to_num(spread).clip(0, 65535).astype("<u2")
    some = array[:: max(1, array.shape[0] // 512), :: max(1, array.shape[1] // 512)]
    low, high = map(float, np.percentile(some, [0.5, 99.8]))
    return Picture(array, channels, low, max(high, low + 1))
