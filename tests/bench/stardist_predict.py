"""StarDist as its user runs it, in the peer's own Python: the other half of a bench.

  PYTHON stardist_predict.py truth LABELS MAPS         # ideal maps from true labels
  PYTHON stardist_predict.py predict IMAGE MAPS FOLDER  # labels.tif and beads.csv

The network has its usual size (32 rays, grid 2) and random weights, and runs in full.
What it says is then replaced by ideal probabilities and distances, so that its own
suppression has as much to do as with a trained network. Printed are the seconds that
reading those took, which is no part of its work, and its count.
"""

import csv
import json
import os
import sys
import time
import warnings

import numpy as np
import tifffile

GRID, RAYS = (2, 2), 32
PROBABILITY = 0.5  # its default threshold
AT_ONCE = 2300**2  # px, more goes in four parts: memory
COLUMNS = (
    "label",
    "centroid",
    "area",
    "equivalent_diameter_area",
    "axis_major_length",
    "axis_minor_length",
    "perimeter",
    "intensity_mean",
    "intensity_max",
)


def write_truth(labels: str, maps: str) -> None:
    """The candidates that a perfect network gives: where, how sure, how far."""
    from stardist import edt_prob, star_dist

    truth = tifffile.imread(labels)
    probability = edt_prob(truth)[:: GRID[0], :: GRID[1]]
    at = np.nonzero(probability > PROBABILITY)
    distance = star_dist(truth, RAYS, grid=GRID)[at]
    points = np.stack(at, 1) * np.array(GRID)
    np.savez(maps, probability=probability[at], distance=distance, points=points)


def predict(image: str, maps: str, folder: str) -> None:
    """Finds beads, and writes their labels and a table."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from csbdeep.utils import normalize
    from skimage.measure import regionprops_table
    from stardist.models import Config2D, StarDist2D

    reading = 0.0

    class Ideal(StarDist2D):
        def _predict_sparse_generator(self, img, prob_thresh=None, **options):
            nonlocal reading
            for done in super()._predict_sparse_generator(img, 0.9999, **options):
                if done is None:
                    yield None
            begin = time.monotonic()
            with np.load(maps) as stored:
                ideal = [stored[k] for k in ("probability", "distance", "points")]
            reading = time.monotonic() - begin
            yield tuple(ideal)

    pixels = tifffile.imread(image)
    config = Config2D(n_rays=RAYS, grid=GRID, n_channel_in=1)
    model = Ideal(config, name=None, basedir=None)
    labels, found = model.predict_instances(
        normalize(pixels, 1, 99.8),
        prob_thresh=PROBABILITY,
        n_tiles=None if pixels.size <= AT_ONCE else (2, 2),
        show_tile_progress=False,
    )
    table = regionprops_table(labels, pixels, properties=COLUMNS)
    os.makedirs(folder)
    tifffile.imwrite(f"{folder}/labels.tif", labels, compression="zlib")
    with open(f"{folder}/beads.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    print(json.dumps({"reading": reading, "count": len(found["points"])}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"truth": write_truth, "predict": predict}[sys.argv[1]](*sys.argv[2:])
