"""Generated beads as files: a data set on disk whose truth is known."""

from pathlib import Path

import numpy as np
import tifffile
from tqdm import tqdm

from beadseg.data.generated.damage import damage_labels
from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.errors import BeadsegError
from beadseg.files import (
    check_unused,
    open_whole,
    whole_folder,
    writing,
)
from beadseg.matching import count_beads


def write_generated(
    folder: Path,
    *,
    count: int,
    size: int = 256,
    seed: int = 0,
    preset: str = "beads",
    modalities: tuple[str, ...] = (),
    damage: str = "none",
    amount: float | None = None,
    maker: str = "",
) -> dict[str, int]:
    """Writes DIR/images and DIR/masks, one TIFF each an image, u8 or u16.

    With `damage` the masks are damaged by an `amount` (see `damage_labels`) and the
    complete ones go to DIR/truth. `modalities` as in `GeneratedSettings`, `maker` as in
    `whole_folder`.

    Returns:
      How many images there are, beads in them, and beads that their masks label.

    Raises:
      BeadsegError: the folder holds something or cannot be written, a setting is
        unknown, or of a damage and its amount one is given alone.
    """
    settings = GeneratedSettings(preset=preset, size=size, modalities=modalities)
    if count < 1:
        raise BeadsegError(f"--count {count}: give at least 1 image")
    if seed < 0:
        raise BeadsegError(f"--seed {seed}: give a number from 0")
    if amount and damage == "none":
        raise BeadsegError(f"--amount {amount:g}: say of what with --damage")
    if amount is None and damage != "none":
        raise BeadsegError(f"--damage {damage}: say how much with --amount")
    amount, beads, labelled = amount or 0.0, 0, 0
    check_unused(folder, None, maker)
    with writing(folder, None), whole_folder(folder, None, maker) as part:
        for index in tqdm(range(count), "drawing images", disable=None):
            drawn = generate(settings, seed, index)
            rng = np.random.default_rng((seed, index, 1))
            labels = damage_labels(damage, amount, drawn.labels, drawn.beads, rng)
            written = {"images": drawn.image, "masks": labels.astype(np.uint16)}
            if damage != "none":
                written["truth"] = drawn.labels.astype(np.uint16)
            for kind, array in written.items():
                file = part / kind / f"generated_{index:05d}.tif"
                file.parent.mkdir(parents=True, exist_ok=True)
                with open_whole(file) as content:
                    tifffile.imwrite(
                        content,
                        array,
                        imagej=True,
                        resolution=(1 / drawn.pixel_size, 1 / drawn.pixel_size),
                        metadata={"unit": "um"},
                    )
            beads += len(drawn.beads)
            labelled += count_beads(labels)
    return {"images": count, "beads": beads, "labelled": labelled}
