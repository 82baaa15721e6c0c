"""Masks of other programs: read as they were meant, or refused with the reason."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import Mask, interpret, read_mask

SIZES = [(9, 60, 256), (24, 40, 320), (60, 20, 512), (120, 7, 600)]  # px, beads, side


def field(diameter, count, side, gap=2.0, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Centres of discs `gap` px apart or more, and their labels."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((0, 2))
    while len(centres) < count:
        new = rng.uniform(diameter * 0.6, side - diameter * 0.6, 2)
        if (np.hypot(*(centres - new).T) > diameter + gap).all():
            centres = np.vstack([centres, new])
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for number, (cy, cx) in enumerate(centres, 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= diameter**2 / 4] = number
    return centres, labels


def packed(diameter, seed=0) -> np.ndarray:
    """Labels of touching discs in a crystal with gaps."""
    rng = np.random.default_rng(seed)
    side = int(diameter * 9)
    y, x = np.mgrid[:side, :side]
    labels, number = np.zeros((side, side), np.int32), 0
    for row in range(9):
        for column in range(8):
            if rng.random() < 0.85:
                number += 1
                cy = diameter * (0.6 + row * np.sqrt(3) / 2)
                cx = diameter * (0.6 + column + row % 2 / 2)
                labels[(y - cy) ** 2 + (x - cx) ** 2 <= diameter**2 / 4] = number
    return labels


def count(read: Mask) -> int:
    return len(np.unique(read.labels[read.labels > 0]))


def same_beads(read: Mask, truth: np.ndarray) -> bool:
    """Whether ids correspond one to one, pixel by pixel."""
    pairs = np.unique(np.stack([read.labels.ravel(), truth.ravel()]), axis=1)
    return len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))


def jpeg(mask: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("size", SIZES)
def test_sound_masks_are_left_alone(size):
    for labels in (field(*size)[1], packed(size[0])):
        for array in (labels, labels.astype(np.uint8), labels.astype(np.uint16) * 7):
            read = interpret(array, "m")
            assert not read.note
            np.testing.assert_array_equal(read.labels, array)
        read = interpret((labels > 0).astype(np.uint8), "m")
        assert not read.note
        assert count(read) == labels.max()


@pytest.mark.parametrize("beads", [1, 2, 3, 4])
def test_a_few_beads_are_no_classes(beads):
    labels = field(40, beads, 256)[1]
    assert not interpret(labels, "m").note
    assert not interpret(labels * 60, "m").note
    cut = np.where(np.arange(256) % 128 == 70, 0, labels)  # a fibre lies on them
    if beads > 1:
        np.testing.assert_array_equal(interpret(cut, "m").labels, cut)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["L", "RGBA", "LA"])
def test_black_beads_on_white_are_exchanged(tmp_path, size, mode):
    for labels in (field(*size)[1], packed(size[0])):
        black = np.where(labels > 0, 0, 255).astype(np.uint8)
        Image.fromarray(black).convert(mode).save(tmp_path / "a.png")
        read = read_mask(tmp_path / "a.png")
        assert read.kind == "inverted"
        np.testing.assert_array_equal(read.labels > 0, labels > 0)


@pytest.mark.parametrize("size", SIZES)
def test_a_numbered_ground_is_ground(size):
    labels = field(*size)[1]
    read = interpret(labels + 1, "m")
    assert read.kind == "background numbered"
    assert same_beads(read, labels)
    assert same_beads(interpret(np.where(labels > 0, 2, 1), "m"), labels)


def outlines(labels: np.ndarray, width: int) -> np.ndarray:
    """Of each bead the pixels within `width` px of what it is not."""
    lines = np.zeros(labels.shape, bool)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        bead = labels[box] == number
        core = ndimage.binary_erosion(np.pad(bead, 1), iterations=width)[1:-1, 1:-1]
        lines[box] |= bead & ~core
    return lines


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", [1, 2])
def test_outlines_are_filled(size, width):
    labels = field(*size)[1]
    lines = outlines(labels, width)
    if size[0] < 12 * width:
        width = 1
        lines = outlines(labels, width)
    for array in (lines, lines * 255, np.where(lines, 0, 255), lines * labels):
        read = interpret(array.astype(np.uint8), "m")
        assert read.kind == "outlines"
        assert same_beads(read, labels)


@pytest.mark.parametrize("diameter", [14, 24, 60])
def test_outlines_of_touching_beads_are_told_apart(diameter):
    labels = packed(diameter)
    read = interpret(outlines(labels, 1), "m")
    assert read.kind == "outlines"
    assert count(read) == labels.max()
    np.testing.assert_array_equal(read.labels > 0, labels > 0)


def test_cells_parted_by_lines_are_beads_as_they_stand():
    y, x = np.mgrid[:200, :200]
    cells = ((y % 20 > 0) & (x % 20 > 0)).astype(np.uint8)
    read = interpret(cells, "m")
    assert not read.note
    np.testing.assert_array_equal(read.labels > 0, cells > 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_core_with_its_border_is_a_bead(size, width):
    centres, labels = field(*size)
    core = ndimage.binary_erosion(labels > 0, iterations=width)
    if not 0.25 < core.sum() / (labels > 0).sum():
        return
    for inner, outer in ((1, 2), (2, 1), (255, 128)):
        array = np.where(core, inner, np.where(labels > 0, outer, 0))
        read = interpret(array.astype(np.uint8), "m")
        assert read.kind == "core and border", (inner, outer)
        assert same_beads(read, labels)


@pytest.mark.parametrize("diameter", [14, 24, 60])
def test_cores_of_touching_beads_are_told_apart(diameter):
    labels = packed(diameter)
    core = np.zeros(labels.shape, bool)
    for number in range(1, labels.max() + 1):
        core |= ndimage.binary_erosion(labels == number, iterations=2)
    read = interpret(np.where(core, 1, np.where(labels > 0, 2, 0)), "m")
    assert read.kind == "core and border"
    assert count(read) == labels.max()
    np.testing.assert_array_equal(read.labels > 0, labels > 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kinds", [2, 3])
def test_classes_are_split_into_beads(size, kinds):
    centres, labels = field(*size)
    array = np.where(labels > 0, labels % kinds + 1, 0)
    read = interpret(array.astype(np.uint8), "m")
    assert read.kind == ("classes" if labels.max() >= 3 * kinds else "ids used again")
    assert same_beads(read, labels)
    if read.kind == "classes":
        assert (read.classes[read.labels - 1] == array)[array > 0].all()


def test_the_classes_that_are_chosen_are_the_beads():
    labels = packed(24)
    array = np.where(labels > 0, labels % 3 + 1, 0)  # of a third no bead
    read = interpret(array, "m", (1, 3))
    np.testing.assert_array_equal(read.labels > 0, (array == 1) | (array == 3))
    for number, value in enumerate(read.classes, 1):
        assert (array[read.labels == number] == value).all()
    apart = [ndimage.label(array == n, np.ones((3, 3)))[1] for n in (1, 3)]
    assert count(read) == len(read.classes) >= sum(apart)
    assert not read.kind and "2 are no beads" in read.note
    none = interpret(array, "m", (9,))
    assert not none.labels.any() and none.kind == "classes"
    assert "1, 2, 3, none of the classes 9" in none.note


def test_without_classes_each_number_is_one_bead():
    labels = field(24, 40, 320)[1]
    array = (labels + 1) // 2  # two places each
    assert count(interpret(array, "m")) == 40
    read = interpret(array, "m", "none")
    np.testing.assert_array_equal(read.labels, array)
    assert read.classes is None
    binary = interpret(np.where(labels > 0, 7, 0), "m", "none")
    assert same_beads(binary, labels)


def test_classes_of_touching_beads_are_cut():
    labels = packed(24)
    read = interpret(np.where(labels > 0, labels % 2 + 1, 0), "m")
    assert read.kind == "classes"
    assert abs(count(read) - labels.max()) <= 1


@pytest.mark.parametrize("kind", ["wrapped", "cut off", "int8"])
def test_ids_beyond_255_are_told_apart(kind):
    labels = field(10, 500, 640)[1]
    array = {
        "wrapped": labels.astype(np.uint8),
        "cut off": np.minimum(labels, 255).astype(np.uint8),
        "int8": np.where(labels > 255, 0, labels).astype(np.int8),
    }[kind]
    expected = {"wrapped": 499, "cut off": 500, "int8": 255}[kind]
    read = interpret(array, "m")
    assert count(read) == expected
    assert kind in read.note or read.kind == "negative ids"


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("soft", ["30", "75", "95", "blurred", "resized"])
def test_soft_edges_are_cut_at_half(size, soft):
    labels = field(*size)[1]
    mask = labels > 0
    if soft == "blurred":
        array = ndimage.gaussian_filter(255.0 * mask, 1.0).round().astype(np.uint8)
    elif soft == "resized":
        small = Image.fromarray(mask.astype(np.uint8) * 255)
        side = int(1.25 * mask.shape[0])
        array = np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))
    else:
        array = jpeg(mask, int(soft))
    read = interpret(array, "m")
    assert read.kind == "soft edges"
    assert count(read) == labels.max()
    if soft != "resized":
        assert np.mean((read.labels > 0) != mask) < 0.01


def test_labels_with_smoothed_edges_are_refused():
    labels = field(120, 7, 600)[1]
    picture = Image.fromarray((labels * 30).astype(np.uint8))
    array = np.asarray(picture.resize((750, 750), Image.Resampling.BILINEAR))
    with pytest.raises(ReadError, match="smoothed.*nearest neighbour"):
        interpret(array, "m")


def heap(diameter, number, side, soft, seed=0) -> np.ndarray:
    """Sum of discs anywhere."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    total = np.zeros((side, side))
    for cy, cx in rng.uniform(0, side, (number, 2)):
        away = np.hypot(y - cy, x - cx) - diameter / 2
        total += np.clip(0.5 - away / 3, 0, 1) if soft else away <= 0
    return total


@pytest.mark.parametrize("unit", [1, 60])
def test_overlaps_of_two_are_read_and_heaps_are_refused(unit):
    centres, labels = field(20, 40, 400, gap=3)
    extra = np.zeros(labels.shape, int)
    y, x = np.mgrid[:400, :400]
    for cy, cx in centres[:10] + (0, 15):
        extra += (y - cy) ** 2 + (x - cx) ** 2 <= 100
    few = (labels > 0) + extra
    read = interpret(unit * few, "m")
    assert read.note  # lenses of two discs and lines between beads say the same
    assert abs(count(read) - 50) <= 2
    with pytest.raises(ReadError, match="overlap"):
        interpret(unit * np.minimum(heap(20, 300, 400, False), 4).astype(int), "m")


def test_soft_discs_that_add_up_are_refused():
    array = np.minimum(255 * heap(9, 2500, 512, True), 255).astype(np.uint8)
    with pytest.raises(ReadError, match="add up.*one number per bead"):
        interpret(array, "m")


def test_the_labs_own_sums_are_refused(real_set):
    for path in sorted(real_set("brightfield_dilution_dev").glob("masks/synth*")):
        with pytest.raises(ReadError, match="add up"):
            read_mask(path)


@pytest.mark.parametrize(
    "name",
    [
        "brightfield_dilution_dev",
        "bubbles_dev",
        "bbbc007_sparse_labels",
        "dsb2018_nuclei_dev",
        "emps_spheres_dev",
        "vnc_mitochondria_em",
    ],
)
def test_real_masks_are_read_as_they_stand_or_exchanged(real_set, name):
    for path in sorted(real_set(name).glob("masks/*"))[::3]:
        if path.name.startswith("synthetic"):
            continue
        read = read_mask(path)
        assert not read.note, path
        exchanged = interpret(np.where(read.labels > 0, 0, 255), "m")
        assert exchanged.kind == "inverted", path


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("kinds", [0, 1, 2])
def test_colours_are_beads_or_classes(ground, kinds):
    labels = field(*SIZES[-1])[1]
    ids = np.where(labels > 0, labels % kinds + 1, 0) if kinds else labels
    rng = np.random.default_rng(3)
    flat = rng.choice(np.arange(1, 2**24 - 1), ids.max() + 1, replace=False)
    palette = np.stack([flat >> 16, flat >> 8 & 255, flat & 255], 1).astype(np.uint8)
    palette[0] = ground
    read = interpret(palette[ids], "m")
    assert same_beads(read, labels)


def test_colours_with_soft_edges_are_refused():
    labels = field(*SIZES[-1])[1]
    palette = np.random.default_rng(3).integers(1, 255, (labels.max() + 1, 3))
    palette[0] = 0
    soft = ndimage.uniform_filter(palette[labels].astype(float), (3, 3, 1))
    with pytest.raises(ReadError, match="edges"):
        interpret(soft.astype(np.uint8), "m")
