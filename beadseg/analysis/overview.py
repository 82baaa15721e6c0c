"""A data set in a dozen numbers, from its fingerprint."""

from dataclasses import dataclass

import numpy as np

from beadseg.analysis.fingerprint import Fingerprint, Row
from beadseg.analysis.mask_facts import median
from beadseg.training.completeness import are_partial


@dataclass(frozen=True)
class Overview:
    """Medians over images, unless said otherwise; nan where nothing can be said."""

    images: int
    labelled_images: int  # with a mask that has beads, and background
    point_images: int
    source: str  # of counts and sizes: "masks", "points" or "the estimate"
    objects: float  # an image
    fewest: float  # 10th percentile over images
    most: float  # 90th percentile
    coverage: float  # 0..1
    diameter_px: float
    spread: float  # 90th over 10th percentile of the diameters
    pixel_size: float  # um
    side_px: float  # the shortest side of any image
    circularity: float
    aspect: float
    branches: float  # skeleton branch points an object, mean
    spacing: float  # diameters, to the next centre
    touching: float  # share of the beads
    contrast: float  # of beads against the background, > 0: brighter
    mixed_polarity: bool  # beads are brighter in some images, darker in others
    background: float  # 0 dark, 1 bright
    shading: float  # share of the range
    texture: float
    noise: float
    signal_to_noise: float
    edge_px: float
    saturated: float
    bits: float
    labelled: float  # share of the beads seen that have a label
    seen: float  # share of the labelled beads that the estimate sees

    @property
    def partial(self) -> bool:
        """Whether masks lack beads, as far as the estimate can be trusted."""
        return are_partial(self.labelled, self.seen)


def look_over(fingerprint: Fingerprint) -> Overview:
    """Sums a fingerprint up."""
    rows = fingerprint.rows
    masked = [row for row in rows if row.mask and row.mask.useful]
    pointed = [row for row in rows if row.points]
    share = [row for row in rows if row.labelled is not None]
    labelled = median([row.labelled for row in share])
    seen = median([row.seen for row in rows if row.seen is not None])
    if masked and not are_partial(labelled, seen):
        source = "masks"
        objects = [row.mask.objects for row in masked]
        coverage = [row.mask.coverage for row in masked]
    elif pointed and not masked:
        source = "points"
        objects = [row.points for row in pointed]
        coverage = [row.coverage for row in pointed]
    else:
        source = "the estimate"
        objects = [row.count for row in rows]
        coverage = [row.coverage for row in rows]
    diameters = np.concatenate([row.mask.diameters for row in masked] or [[]])
    if not len(diameters):
        diameters = [r.diameter_px for r in rows if np.isfinite(r.diameter_px)]
    low, high = np.percentile(diameters, (10, 90)) if len(diameters) else (np.nan,) * 2
    contrast = [row.image.contrast for row in rows]
    strong = np.array([c for c in contrast if abs(c) > 0.1])
    shape = ("circularity", "aspect", "spacing", "touching")
    light = ("background", "shading", "texture", "noise", "signal_to_noise")
    light += ("edge_px", "saturated", "bits")
    return Overview(
        images=len(rows),
        labelled_images=len(masked),
        point_images=len(pointed),
        source=source,
        objects=median(objects),
        fewest=float(np.percentile(objects, 10)) if objects else np.nan,
        most=float(np.percentile(objects, 90)) if objects else np.nan,
        coverage=median(coverage),
        diameter_px=median(diameters),
        spread=float(high / low) if len(diameters) else np.nan,
        pixel_size=median([row.pixel_size for row in rows if row.pixel_size]),
        side_px=float(min((min(row.shape) for row in rows), default=np.nan)),
        branches=float(np.mean([r.mask.branches for r in masked] or [np.nan])),
        contrast=median(contrast),
        mixed_polarity=bool(len(strong) and 0.15 < (strong > 0).mean() < 0.85),
        **{k: median([getattr(r.mask, k) for r in masked]) for k in shape},
        **{k: median([getattr(r.image, k) for r in rows]) for k in light},
        labelled=labelled,
        seen=seen,
    )


def objects_of(row: Row, source: str) -> tuple[float, float]:
    """Objects and coverage of one image, from where the overview takes them."""
    if source == "masks" and row.mask and row.mask.useful:
        return row.mask.objects, row.mask.coverage
    if source == "points" and row.points:
        return row.points, row.coverage
    return row.count, row.coverage
