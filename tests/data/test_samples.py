"""What is unknown is unknown to all that read a data set, however it was saved."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.builders import open_dataset
from beadseg.data.folder import scan
from beadseg.data.samples import read_sample
from beadseg.inference.scores.pairing import pair, read_truth
from beadseg.partial.completion import pages


def coloured(where):
    """Blue on black."""
    return Image.fromarray(np.where(where[..., None], np.uint8([0, 0, 200]), 0))


def through_palette(where):
    """0 is red, 1 is blue: neither is black."""
    image = Image.fromarray(where.astype(np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    return image


SAVED = {
    "0 and 255": lambda where: 255 * where.astype(np.uint8),
    "0 and -1": lambda where: -where.astype(np.int16),
    "fractions": lambda where: where.astype(np.float32) / 4,
    "colours": coloured,
    "a palette": through_palette,
}


@pytest.mark.parametrize("saved", SAVED)
def test_ignored_pixels_and_those_without_data_are_unknown_to_every_reader(
    saved, config, save, grid, picture, tmp_path
):
    labels = grid(36).astype(np.uint16)
    image = picture(labels).astype(np.float32)
    image[90, 50:60] = np.nan
    ignored = np.zeros(labels.shape, bool)
    ignored[:44, 10:] = True  # through beads
    save("images/a.tif", image)
    save("images/b.tif", picture(labels, 1))
    save("masks/a.tif", labels)
    save("masks/b.tif", labels)
    file = tmp_path / "data" / "ignore" / "a.png"
    stored = SAVED[saved](ignored)
    if isinstance(stored, Image.Image):
        file.parent.mkdir()
        stored.save(file)
    else:
        save("ignore/a.tif", stored)
    of_files = np.where(ignored, -1, labels.astype(np.int32))
    expected = np.where(np.isnan(image), -1, of_files)

    folder = scan(config.data)
    assert not folder.problems
    np.testing.assert_array_equal(read_sample(folder.samples[0]).labels, expected)
    problems = []
    completed = next(pages(folder, problems))
    assert not problems
    np.testing.assert_array_equal(completed.manual, expected)
    config.data.tile_size = 96
    dataset = open_dataset(config)
    np.testing.assert_array_equal(dataset[0]["labels"], expected)
    predicted = tmp_path / "predicted"
    (predicted / "labels").mkdir(parents=True)
    tifffile.imwrite(predicted / "labels" / "a.tif", labels)
    (one,) = pair(predicted, tmp_path / "data").pairs
    np.testing.assert_array_equal(read_truth(one)[0], of_files)
