"""Sparse or dense: how far data lie from the two kinds that settings are known for.

The references are those of the domain-shift analysis: mitochondria in electron
micrographs, for which the first settings were tuned, and microbeads under a light
microscope. Distances are log2 ratios beyond the reference's range. Coverage weighs
twice, for it does not depend on how large a part of the sample an image shows.
"""

from typing import NamedTuple

import numpy as np

from beadseg.analysis.overview import Overview
from beadseg.quoting import percent


class Reference(NamedTuple):
    """Ranges of one kind of data."""

    name: str
    objects: tuple[float, float]  # an image
    coverage: tuple[float, float]  # 0..1
    spacing: tuple[float, float]  # diameters to the next centre


SPARSE = Reference("sparse", (2, 3), (0.05, 0.15), (1.5, np.inf))
DENSE = Reference("dense", (20, 100), (0.30, 0.60), (0, 1.15))
_WEIGHTS = (("objects", 1.0), ("coverage", 2.0), ("spacing", 1.0))
_BETWEEN = 1.3  # ratio of the distances below which neither is near


class Regime(NamedTuple):
    """Which kind, and the log2 distance from each; nan where nothing is known."""

    name: str  # "sparse", "dense", "between" or "unknown"
    from_sparse: float
    from_dense: float


def regime(overview: Overview) -> Regime:
    """Places a data set between the two references."""
    if not (overview.objects > 0 and overview.coverage > 0):
        return Regime("unknown", float("nan"), float("nan"))
    sparse, dense = (distance(overview, kind) for kind in (SPARSE, DENSE))
    near, far = sorted((sparse, dense))
    if far < _BETWEEN * near:
        return Regime("between", sparse, dense)
    return Regime("sparse" if sparse < dense else "dense", sparse, dense)


def distance(overview: Overview, reference: Reference) -> float:
    """Euclidean sum of the log2 distances beyond the ranges of a reference."""
    total = 0.0
    for name, weight in _WEIGHTS:
        value = getattr(overview, name)
        low, high = getattr(reference, name)
        if np.isfinite(value) and value > 0:
            short = max(np.log2(low / value), 0) if low > 0 else 0
            beyond = max(np.log2(value / high), 0) if np.isfinite(high) else 0
            total += (weight * (short + beyond)) ** 2
    return float(np.sqrt(total))


def sentence(found: Regime) -> str:
    """The regime in plain words."""
    if found.name == "unknown":
        return "No objects are seen: neither sparse nor dense can be said."
    if found.name == "between":
        return (
            "Between the references: neither the settings for mitochondria nor those "
            f"for dense beads were made for it (distances {found.from_sparse:.1f} and "
            f"{found.from_dense:.1f})."
        )
    like = {"sparse": "sparse, like mitochondria", "dense": "dense, like beads"}
    near, far = sorted((found.from_sparse, found.from_dense))
    return (
        f"The data are {like[found.name]}: {near:.1f} log2 units from that reference, "
        f"{far:.1f} from the other."
    )


def table(overview: Overview) -> list[tuple[str, str, str, str, str]]:
    """The table of the analysis: what, sparse, dense, measured, what it means."""
    o = overview
    positive = f"{percent(o.coverage)} of the pixels are bead"
    balanced = 0.2 <= o.coverage <= 0.8
    if o.background > 0.6:
        background = "bright"
    else:
        background = "dark" if o.background < 0.35 else "grey"
    uneven = o.shading > 0.15
    kind = "brighter" if o.contrast > 0.05 else "darker"
    if abs(o.contrast) <= 0.05:
        kind = "told apart by their rims"
    if o.mixed_polarity:
        kind = "brighter in some images, darker in others"
    return [
        (
            "objects per image",
            "2-3",
            "20-100",
            f"{o.objects:.0f} ({o.fewest:.0f}-{o.most:.0f}), from {o.source}",
            "few objects: validation is noisy, take more images"
            if o.objects < 10
            else "each image holds many examples: few images go far",
        ),
        (
            "coverage",
            "5-15 %",
            "30-60 %",
            percent(o.coverage, 1),
            f"{positive}: "
            + (
                "classes are balanced, no loss needs a focus on the rarer"
                if balanced
                else "the rarer class is small: measure overlap (Jaccard), not accuracy"
            ),
        ),
        (
            "morphology",
            "irregular, branching",
            "round, uniform",
            _shape(o),
            _shape_means(o),
        ),
        (
            "background",
            "uniform, dark",
            "variable",
            f"{background}, light varies by {percent(o.shading)}, texture "
            f"{percent(o.texture)}",
            "uneven light: flatten it before anything else"
            if uneven
            else "light is even enough to be left alone",
        ),
        (
            "modality",
            "electron",
            "light",
            f"beads {kind}; signal to noise {o.signal_to_noise:.0f}, edges "
            f"{_number(o.edge_px)} px",
            "augmentation must swap dark and bright"
            if o.mixed_polarity
            else "one kind of contrast: no need to swap dark and bright",
        ),
    ]


def _shape(o: Overview) -> str:
    if not np.isfinite(o.circularity):
        size = _number(o.diameter_px)
        return f"{size} px across, shape unknown without masks"
    return (
        f"circularity {o.circularity:.2f}, aspect {_number(o.aspect)}, "
        f"{o.branches:.2f} branch points each, {percent(o.touching)} touch"
    )


def _shape_means(o: Overview) -> str:
    if not np.isfinite(o.circularity):
        return "label some beads to know"
    # Discs of few pixels have a branch here and there too.
    if o.circularity < 0.75 or o.branches > 0.5 and o.circularity < 0.9:
        return "irregular outlines: a rule about circles will not do"
    if o.touching > 0.2:
        return "round but touching: they must be told apart, not only found"
    return "round and apart: simple outlines"


def _number(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "unknown"
