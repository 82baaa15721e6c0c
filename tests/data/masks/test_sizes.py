"""Which beads are taught at which level, and when images are seen at several."""

import json
from collections import Counter

import numpy as np
import pytest

from beadseg.data.builders import open_dataset
from beadseg.data.masks import sizes
from beadseg.errors import BeadsegError

KNOWN = (5.5, 26.0)


def spread(times: float, count: int = 100) -> np.ndarray:
    """Diameters whose 10th and 90th percentile are `times` apart."""
    return 40 * times ** np.linspace(-0.625, 0.625, count + 1)


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
@pytest.mark.parametrize(("times", "known"), [(1.9, None), (2.1, KNOWN), (20, KNOWN)])
def test_sizes_an_octave_apart_differ_at_any_magnification(times, known, factor):
    of_images = np.array_split(np.random.default_rng(0).permutation(spread(times)), 7)
    diameters = [factor * some for some in of_images]
    found, line = sizes.chosen("auto", "default", diameters)
    assert found == known
    assert (line is None) == (known is None)


def test_beads_that_differ_within_an_image_or_between_images_are_the_same():
    within = [np.tile([10.0, 40.0], 20)] * 2
    between = [np.full(400, 10.0), np.full(4, 40.0)]
    assert sizes.chosen("auto", "default", within)[0] == KNOWN
    assert sizes.chosen("auto", "default", between)[0] == KNOWN


@pytest.mark.parametrize("start", ["", "no/such/run"])
def test_a_start_that_knows_no_range_is_taught_one_size(start):
    assert sizes.chosen("auto", start, [spread(8)]) == (None, None)


def test_the_setting_decides_where_it_says_so():
    assert sizes.chosen("one", "default", [spread(8)]) == (None, None)
    assert sizes.chosen((6, 24), "", [spread(1.1)])[0] == (6.0, 24.0)
    assert sizes.chosen((6, 24), "", []) == (None, None)


@pytest.mark.parametrize(
    "setting",
    ["some", 7.0, (6,), (1, 9), (24, 6), (1, 2, 3), ("a", "b"), (6, 1e9), (6, None)],
)
def test_another_setting_is_one_line(setting):
    with pytest.raises(BeadsegError, match=r"data\.sizes = .*: give") as error:
        sizes.chosen(setting, "default", [spread(8)])
    assert "\n" not in str(error.value)


def test_what_a_run_knows_stands_in_its_files():
    folder = {"data": {"dir": "images", "generated": {}}}
    one = {"bead_diameter_px": 10.0, "scale": 2.0}
    assert sizes.known_by(folder, one) is None
    assert sizes.known_by(folder, one | {"sizes": None}) is None
    assert sizes.known_by(folder, one | {"sizes": [6, 24]}) == (6, 24)
    drawn = {"data": {"dir": "", "generated": {"sizes": [6, 24]}}}
    assert sizes.known_by(drawn, one) == (6, 24)
    drawn["data"]["generated"] = {}
    assert sizes.known_by(drawn, one) == pytest.approx((12, 34))
    assert sizes.known_by(drawn, one | {"bead_diameter_px": None}) is None


@pytest.mark.parametrize("diameter", [3.0, 8.0, 20.0, 70.0, 300.0])
def test_beads_of_one_size_are_seen_down_to_the_levels_that_know_them(diameter):
    scales, whole = zip(*sizes.levels(np.full(30, diameter), KNOWN), strict=True)
    seen = diameter * np.array(scales)
    np.testing.assert_array_equal(whole, seen <= KNOWN[1])
    assert KNOWN[0] <= seen[-1] < 2 * KNOWN[0]
    assert scales[0] == (2 if diameter < 6 else 1)
    np.testing.assert_array_equal(scales, scales[0] / 2 ** np.arange(len(scales)))


def test_a_level_teaches_its_beads_and_no_others():
    """Of squares: what is nearly known is unknown, what is far larger background."""
    sides = {7: 3, 2: 10, 9: 35, 4: 60}
    labels = np.full((64, 160), 0, np.int32)
    left = 0
    for label, side in sides.items():
        labels[1 : side + 1, left : left + side] = label
        left += side + 2
    labels[62, :4] = -1
    found = sizes.taught_at(labels, 1.0, KNOWN)
    for label, taught in ((7, -1), (9, -1), (4, 0)):
        assert (found[labels == label] == taught).all()
    assert len(np.unique(found[labels == 2])) == 1 and (found[labels == 2] > 0).all()
    assert (found[labels == 0] == 0).all() and (found[labels == -1] == -1).all()
    half = sizes.taught_at(labels, 0.5, KNOWN)
    assert (half[labels == 9] > 0).all() and (half[labels == 4] == -1).all()


def test_regions_of_other_sizes_are_left_out():
    labels = np.zeros((40, 80), np.int32)
    labels[:4, :4], labels[:20, 10:30], labels[:40, 35:75] = 1, 2, 3
    assert np.unique(sizes.of_sizes(labels, KNOWN)).tolist() == [0, 2]


def opened(config, discs, picture, save):
    """Images with beads of 10 px, and of 80 px."""
    for name, radius in (("a", 5), ("b", 5), ("c", 40), ("d", 40)):
        step = 2.4 * radius
        places = step * (0.5 + np.arange(int(240 / step)))
        labels = discs((240, 240), [(y, x) for y in places for x in places], radius)
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    config.init_from, config.data.sizes = "default", "auto"
    return open_dataset(config)


def test_images_of_many_sizes_are_seen_at_the_levels_that_know_their_beads(
    config, discs, picture, save
):
    dataset = opened(config, discs, picture, save)
    assert dataset.sizes == KNOWN and dataset.as_json()["sizes"] == KNOWN
    (line,) = (note for note in dataset.notes if note.startswith("beads differ"))
    assert "10.2 to 80 px across" in line and "--config.data.sizes=one" in line
    names = [record.name for record in dataset.records]
    assert len(set(names)) == len(names)
    beads = {}
    for i, record in enumerate(dataset.records):
        tile = dataset[i]["labels"]
        assert tile.shape == record.shape
        beads[record.image, record.scale] = len(np.unique(tile[tile > 0]))
    assert {image: scale for (image, scale), n in beads.items() if n} == {
        "a": 1.0,
        "b": 1.0,
        "c": 0.125,
        "d": 0.125,
    }
    assert beads["c", 0.25] == beads["c", 0.125] == 4 and beads["c", 1.0] == 0
    assert beads["a", 1.0] == 400 and ("a", 0.5) not in beads
    drawn = Counter(record.image for record in dataset.records)
    assert drawn == {"a": 1, "b": 1, "c": 4, "d": 4}


def test_one_size_is_as_it_was_before_there_was_a_choice(config, discs, picture, save):
    several = opened(config, discs, picture, save)
    config.data.sizes = "one"
    one = open_dataset(config)
    assert one.sizes is None and len(one.records) == 4
    assert {record.scale for record in one.records} == {one.scale}
    config.init_from = ""
    assert open_dataset(config).fingerprint == one.fingerprint != several.fingerprint
    config.data.sizes = "auto"
    assert open_dataset(config).fingerprint == one.fingerprint


def test_a_run_that_began_keeps_its_sizes_where_its_start_is_gone(
    config, discs, picture, save
):
    dataset = opened(config, discs, picture, save)
    config.init_from = "gone"
    settled = sizes.settled(config, json.loads(json.dumps(dataset.as_json())))
    assert open_dataset(settled).fingerprint == dataset.fingerprint
    assert sizes.settled(config, {}).data.sizes == "one"
    assert sizes.settled(config, None).data.sizes == config.data.sizes == "auto"
