"""The split: strata kept, nothing on both sides, the same for everyone."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beadseg.data.splits import Split, format_split, from_json, split
from beadseg.data.tiles import RecordInfo
from beadseg.errors import BeadsegError
from tests.tiny import record_of

BINS = (0, 20, 50, 100)


def record(source: str, beads: int, *, group="", tile=0, page=0, mask=True):
    image = f"{source}_p{page}"
    about = {"source": source, "group": group or source, "page": page, "beads": beads}
    return record_of(image, tile, 64, **about, has_mask=mask)


def names(records, side) -> set[str]:
    return {records[i].name for i in side}


def groups(records, side) -> set[str]:
    return {records[i].group for i in side}


@pytest.fixture
def mixed() -> list[RecordInfo]:
    """100 images: 40, 30, 20 and 10 in the four densities."""
    beads = [5] * 40 + [20] * 30 + [99] * 20 + [100] * 10
    return [record(f"image{i}", n) for i, n in enumerate(beads)]


def test_each_density_gives_its_share(mixed):
    found = split(mixed, 0.2, 42, BINS)
    held = np.array([mixed[i].beads for i in found.validation])
    assert [int((held == n).sum()) for n in (5, 20, 99, 100)] == [8, 6, 4, 2]
    assert [s.validation_units for s in found.strata] == [8, 6, 4, 2]
    assert [s.train_units for s in found.strata] == [32, 24, 16, 8]


def test_the_total_is_the_rounded_share(mixed):
    for fraction in (0.05, 0.15, 0.33, 0.5):
        held = split(mixed, fraction, 42, BINS).validation
        assert len(held) == round(fraction * 100)


def test_the_split_of_today_is_that_of_tomorrow():
    records = [record(f"image{i:02d}", 10 * i) for i in range(20)]
    found = split(records, 0.15, 42, BINS)
    # Hashes decide, so this holds on every machine. A change splits runs anew.
    assert names(records, found.validation) == {
        f"image{i:02d}_p0@0,0" for i in (1, 4, 9, 18)
    }


def test_a_stored_split_with_numbered_pages_is_understood():
    records = [
        replace(record("a", 9), name=f"a_z0{z}@0,0", image=f"a_z0{z}", page=z)
        for z in range(3)
    ]
    sides = {"train": ["a_p000@0,0", "a_z02@0,0"], "validation": ["a_p001@0,0"]}
    found = from_json(sides | {"strata": []}, records)
    assert (found.train, found.validation) == ((0, 2), (1,))


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 150), st.booleans()),
        min_size=2,
        max_size=40,
    ),
    st.floats(0.05, 0.9),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_on_both_sides_and_neither_is_empty(images, fraction, seed):
    records = [
        record(f"s{i}", beads, group=f"g{group}", tile=t, mask=mask)
        for i, (group, beads, mask) in enumerate(images)
        for t in range(2)
    ]
    labelled = {r.group for r in records if r.has_mask}
    if len(labelled) < 2:
        with pytest.raises(BeadsegError):
            split(records, fraction, seed, BINS)
        return
    found = split(records, fraction, seed, BINS)
    assert found.train and found.validation
    assert not groups(records, found.train) & groups(records, found.validation)
    assert set(found.train) | set(found.validation) == {
        i for i, r in enumerate(records) if r.has_mask
    }


def test_tiles_and_pages_of_a_source_stay_together():
    records = [
        record(f"s{i}", 30, tile=t, page=p)
        for i in range(6)
        for p in range(2)
        for t in range(3)
    ]
    found = split(records, 0.3, 1, BINS)
    held = groups(records, found.validation)
    assert len(held) == 2
    assert len(found.validation) == 2 * 2 * 3
    assert found.strata[0].validation_images == 2 * 2


def test_the_order_of_files_does_not_matter(mixed):
    found = split(mixed, 0.15, 42, BINS)
    order = np.random.default_rng(0).permutation(len(mixed))
    shuffled = [mixed[i] for i in order]
    again = split(shuffled, 0.15, 42, BINS)
    assert names(shuffled, again.validation) == names(mixed, found.validation)


def test_one_more_file_moves_at_most_one_other(mixed):
    before = names(mixed, split(mixed, 0.15, 42, BINS).validation)
    more = [*mixed, record("new", 30)]
    after = names(more, split(more, 0.15, 42, BINS).validation)
    assert len(before - after) <= 1


def test_other_seeds_choose_others(mixed):
    held = {split(mixed, 0.15, seed, BINS).validation for seed in range(5)}
    assert len(held) == 5


def test_a_density_with_one_image_trains():
    records = [record(f"s{i}", 30) for i in range(10)] + [record("rare", 200)]
    for seed in range(10):
        found = split(records, 0.3, seed, BINS)
        assert "rare" in groups(records, found.train)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("images", [4, 5, 9, 13])
def test_few_images_give_two_to_validation(images, seed):
    records = [record(f"s{i}", 30) for i in range(images)]
    assert len(split(records, 0.15, seed, BINS).validation) == 2


def test_tiles_of_one_group_are_one_unit_however_many():
    records = [record(f"s{i}", 30, group=f"g{i % 4}") for i in range(40)]
    found = split(records, 0.15, 42, BINS)
    assert len(groups(records, found.validation)) == 2


@pytest.mark.parametrize("fraction", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_validation_covers_the_range_of_densities(fraction, seed):
    beads = (3, 4, 5, 6, 7, 30, 31, 60, 61, 62, 63, 64, 65, 400, 450, 700)
    records = [record(f"s{n}", n) for n in beads]
    found = split(records, fraction, seed, BINS)
    assert all(s.validation_units for s in found.strata)
    assert all(s.train_units for s in found.strata)


def test_where_few_can_validate_the_thinnest_and_the_densest_do():
    records = [record(f"s{n}", n) for n in (3, 4, 30, 31, 60, 61, 400, 700)]
    for seed in range(5):
        held = groups(records, split(records, 0.15, seed, BINS).validation)
        assert len(held & {"s3", "s4"}) == len(held & {"s400", "s700"}) == 1


# Crops and beads in a crop of frames, and the share of all beads that is best to hold.
SERIES = {"thinnest": (7, 4), "thin": (3, 77), "dense": (10, 160), "most": (14, 250)}


@pytest.mark.parametrize(
    ("frames", "held"),
    [
        (("thinnest", "thin", "most"), {"thin"}),
        (("thinnest", "dense", "most"), {"dense"}),
        (("thinnest", "thin", "dense", "most"), {"thinnest", "dense"}),
    ],
)
def test_few_frames_validate_on_about_their_share_of_the_beads(frames, held):
    records = [
        record(f"{frame}{crop}", SERIES[frame][1], group=frame, tile=tile)
        for frame in frames
        for crop in range(SERIES[frame][0])
        for tile in range(2)
    ]
    for seed in range(5):
        found = split(records, 0.15, seed, BINS)
        assert groups(records, found.validation) == held
        assert not groups(records, found.train) & held


def test_two_images_of_two_densities_are_one_and_one():
    found = split([record("a", 5), record("b", 80)], 0.15, 42, BINS)
    assert len(found.train) == len(found.validation) == 1


def test_unlabelled_records_are_on_neither_side():
    records = [record(f"s{i}", 30, mask=i > 2) for i in range(10)]
    found = split(records, 0.3, 42, BINS)
    assert sorted(found.train + found.validation) == list(range(3, 10))


def test_a_stored_split_is_found_again_in_another_order(mixed):
    found = split(mixed, 0.15, 42, BINS)
    stored = json.loads(json.dumps(found.as_json(mixed)))
    shuffled = mixed[::-1]
    again = from_json(stored, shuffled)
    assert names(shuffled, again.validation) == names(mixed, found.validation)
    assert again.strata == found.strata


def test_a_stored_split_of_images_that_are_gone_is_refused(mixed):
    stored = split(mixed, 0.15, 42, BINS).as_json(mixed)
    with pytest.raises(BeadsegError, match="of the stored split is not in the data"):
        from_json(stored, mixed[:20])


def test_the_table_adds_up(mixed):
    table = format_split(split(mixed, 0.2, 42, BINS)).splitlines()
    assert table == [
        "images by density  train  validation",
        "0-19 beads            32           8",
        "20-49 beads           24           6",
        "50-99 beads           16           4",
        "100 beads or more      8           2",
        "all                   80          20",
    ]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_a_share_of_nothing_or_all_is_refused(mixed, fraction):
    with pytest.raises(BeadsegError, match="give a share between 0 and 1"):
        split(mixed, fraction, 42, BINS)


def test_a_split_is_plain_data(mixed):
    assert isinstance(split(mixed, 0.15, 42, BINS), Split)


def test_what_is_named_validates_whole_and_nothing_else_does():
    records = [record(f"image{i}", 5) for i in range(4)]
    records += [record("a", 9, group="g"), record("b", 9, group="g")]
    found = split(records, 0.15, 42, BINS, ("g", "image2"))
    assert groups(records, found.validation) == {"g", "image2"}
    assert groups(records, found.train) == {"image0", "image1", "image3"}
    assert sum(s.validation_images for s in found.strata) == 3


@pytest.mark.parametrize(
    "named, line",
    [(("a", "none"), "names 'none', and no image or group"), (("a", "b"), "every im")],
)
def test_names_that_leave_no_side_are_refused(named, line):
    with pytest.raises(BeadsegError, match=line):
        split([record("a", 5), record("b", 80)], 0.15, 42, BINS, named)


@pytest.mark.parametrize("part", ["train", "validation", "strata"])
@pytest.mark.parametrize("value", [None, 0.5, [None], {}, "gone"])
def test_a_damaged_split_is_one_line(mixed, part, value):
    stored = split(mixed).as_json(mixed) | {part: value}
    if value == "gone":
        del stored[part]
    if (part, value) == ("strata", {}):
        return  # none told apart
    with pytest.raises(BeadsegError, match="split is damaged: it has no " + part):
        from_json(stored, mixed)
