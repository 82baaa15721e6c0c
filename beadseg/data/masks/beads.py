"""The table that says what each labelled bead is like, and how to measure it."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from beadseg.matching import centroids, number_beads

# From so many beads on, of which nine in ten differ by so little, contrast tells beads.
MANY, ALIKE = 200, 3.0
# Of the contrast that those trained on reach: less is no bead. Crowds have less than
# thin fields: at 0.75 a run that knows those alone loses one bead in 15 there.
FAINTER = 0.5
FEW = 20  # specks of an image without a bead
# Beads as clear as those trained on, at least, and of all regions, where the light is
# the same, so that however many are fainter are specks.
CLEAR, CLEAR_SHARE = 3, 0.02
# Standard deviations of the background: crests of noise that a network takes for beads
# have 1 to 4 in the mean, the faintest beads of the lab 4.5.
STANDS_OUT = 3.0
# Slices of all pixels that have a neighbour, and of that neighbour.
BESIDE = ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1]))
DIAGONAL = ((np.s_[1:, 1:], np.s_[:-1, :-1]), (np.s_[1:, :-1], np.s_[:-1, 1:]))
BEAD_TABLE = np.dtype(
    [
        ("label", np.int32),  # value in the label map, 1..N
        ("y", np.float32),  # px, centre, rows downwards; may lie outside the frame
        ("x", np.float32),  # px, centre
        ("radius", np.float32),  # px, of the disc of equal area
        ("brightness", np.float32),  # 0..1, contrast against the surroundings
        ("blur", np.float32),  # px, standard deviation of the blur of its edge
        ("crowding", np.int32),  # beads within 1.2 diameters, centre to centre
        ("touches_border", np.bool_),  # some pixel lies on the edge of the image
    ]
)


def crowding(y: np.ndarray, x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Counts the neighbours of each bead: centres within 1.2 mean diameters.

    Args:
      y, x, radius: f[N], px.

    Returns:
      i32[N]; for equal beads the distance is 1.2 diameters, else 1.2 (r_i + r_j).
    """
    count = len(y)
    if count < 2:
        return np.zeros(count, np.int32)
    centres = np.stack([y, x], axis=1)
    reach = 2.4 * float(np.max(radius))
    i, j = cKDTree(centres).query_pairs(reach, output_type="ndarray").T
    near = np.hypot(*(centres[i] - centres[j]).T) <= 1.2 * (radius[i] + radius[j])
    ends = np.concatenate([i[near], j[near]])
    return np.bincount(ends, minlength=count).astype(np.int32)


def on_border(labels: np.ndarray) -> np.ndarray:
    """The positive labels that own a pixel of the outermost row or column."""
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.unique(edge[edge > 0])


def numbered_anew(labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """i32[H, W]: those of the beads 1..N that `kept` bool[N] says, as 1..M."""
    return np.concatenate([[0], np.cumsum(kept) * kept]).astype(np.int32)[labels]


def boundaries(labels: np.ndarray, neighbours: tuple = BESIDE) -> np.ndarray:
    """bool[H, W]: pixels that have a neighbour of another label."""
    found = np.zeros(labels.shape, bool)
    for one, other in neighbours:
        differs = labels[one] != labels[other]
        found[one] |= differs
        found[other] |= differs
    return found


def edges(labels: np.ndarray) -> np.ndarray:
    """bool[H, W]: pixels whose neighbour above or to the left has another label."""
    found = np.zeros(labels.shape, bool)
    found[1:] = labels[1:] != labels[:-1]
    found[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return found


def contrasts(
    labels: np.ndarray, image: np.ndarray, relative: bool = False
) -> np.ndarray:
    """How much brighter each bead is than the background around it: f64[N].

    With `relative`, as a share of the sum of both (Michelson 1927).

    Args:
      labels: i[H, W]; positive values are beads, in any order and with gaps.
      image: [H, W], any real type.
    """
    ids, index = number_beads(labels)
    if not len(ids):
        return np.zeros(0)
    values = np.asarray(image, np.float32)
    sizes = np.bincount(index.ravel(), minlength=len(ids) + 1)[1:]
    sigma = 3 * np.sqrt(np.median(sizes) / np.pi)
    clear = ~ndimage.binary_dilation(index > 0)
    level = values[clear].mean() if clear.any() else values.min()
    weight = ndimage.gaussian_filter(clear.astype(np.float32), sigma)
    around = ndimage.gaussian_filter(np.where(clear, values - level, 0), sigma)
    differs = values - level - around / np.maximum(weight, 1e-3)
    which = np.arange(1, len(ids) + 1)
    found = ndimage.mean(differs, index, which)
    if not relative:
        return found
    both = 2 * ndimage.mean(values, index, which) - found
    return np.divide(found, both, out=np.full(len(ids), np.nan), where=both > 0)


def faintest_bead(found: np.ndarray) -> float | None:
    """The relative contrast that 95 % of beads reach; None: they differ too much.

    Where it is much the same in all images it tells beads from specks; in images of
    several microscopes, or of beads of many kinds, it says nothing.

    Args:
      found: f[N], relative contrasts of the beads of all images.
    """
    if len(found) < MANY or not np.isfinite(found).all():
        return None
    sign = np.sign(np.median(found))
    low, high = np.percentile(sign * found, (5, 95))
    return float(sign * low) if 0 < low and high <= ALIKE * low else None


def is_faint(
    mean: np.ndarray,
    around: np.ndarray,
    noise: np.ndarray,
    faintest: float,
    filled: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Which of the regions of an image are fainter than beads are: bool[N].

    Where that would leave out many, and most of what there is, and next to none is as
    clear as beads are, it may be the image that is fainter: then only what hardly
    stands out from the noise.

    Args:
      mean: f[N], brightness of the regions.
      around: f[N], of the background; nan where it is unknown.
      noise: f[N], standard deviation of the background; likewise.
      faintest: of `faintest_bead`.
      filled: f[N], area by that of the smallest bead, at most 1: what is small must
        differ the more.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        contrast = np.sign(faintest) * (mean - around) / (mean + around)
    faint = contrast * filled < FAINTER * abs(faintest)
    few = np.count_nonzero(faint) <= max(len(faint) / 2, FEW)
    clear = np.count_nonzero(contrast >= abs(faintest))
    same_light = clear >= max(CLEAR, CLEAR_SHARE * len(faint))
    grain = np.abs(mean - around) < STANDS_OUT * noise
    return faint if few or same_light else faint & grain


def describe_beads(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Measures the bead table of any labelled image.

    Brightness is the root mean square difference between a bead and the median of the
    background within 4 px of it (of the whole image where a bead has none), as a share
    of the 95th percentile over the beads, cut at 1: it also sees beads that are only a
    ring. Blur takes the 95th percentile of the slope within 4 px of the outline for
    that of a Gaussian step: height / (slope sqrt(2 pi)).

    Args:
      labels: i[H, W]; positive values are beads, in any order and with gaps.
      image: [H, W], any real type.

    Returns:
      BEAD_TABLE[N], ordered by label.
    """
    ids, index = number_beads(labels)
    beads = np.zeros(len(ids), BEAD_TABLE)
    if not len(ids):
        return beads
    image = np.asarray(image, np.float32)
    which = np.arange(1, len(ids) + 1)
    beads["label"] = ids
    beads["radius"] = np.sqrt(np.bincount(index.ravel())[1:] / np.pi)
    beads["y"], beads["x"] = centroids(index).T
    beads["crowding"] = crowding(beads["y"], beads["x"], beads["radius"])
    beads["touches_border"] = np.isin(ids, on_border(labels))

    away, nearest = ndimage.distance_transform_edt(index == 0, return_indices=True)
    owner = index[tuple(nearest)]
    known = labels >= 0
    surround = np.where((index == 0) & (away <= 4) & known, owner, 0)
    background = np.full(len(ids), np.median(image[(index == 0) & known]))
    if not np.isfinite(background).all():
        background[:] = image.min()
    present = np.unique(surround[surround > 0])
    if len(present):
        background[present - 1] = ndimage.median(image, surround, present)
    deviation = image - np.concatenate([[0], background])[index]
    contrast = np.sqrt(ndimage.mean(deviation**2, index, which))
    scale = max(float(np.percentile(contrast, 95)), 1e-12)
    beads["brightness"] = np.minimum(contrast / scale, 1)

    slope = ndimage.gaussian_gradient_magnitude(image, 0.5)
    depth = ndimage.distance_transform_edt(index > 0)
    zone = np.where((away <= 4) & (depth <= 4), owner, 0)
    for i, box in enumerate(ndimage.find_objects(zone, len(ids))):
        if box is not None:
            inside = zone[box] == i + 1
            low, high = np.percentile(image[box][inside], [5, 95])
            steep = np.percentile(slope[box][inside], 95)
            wide = (high - low) / max(steep * 2.5066, 1e-12)
            # The derivative is that of a Gaussian, whose own width comes off.
            beads["blur"][i] = np.sqrt(max(wide**2 - 0.25, 0.0))
    return beads
