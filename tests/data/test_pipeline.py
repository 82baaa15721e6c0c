"""Batches: the same for any number of workers and after any stop."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from beadseg.data import pipeline
from beadseg.data.builders import open_dataset
from beadseg.errors import BeadsegError


@pytest.fixture
def dataset(config, save, save_pairs):
    save_pairs([3, 20, 36])
    ignore = np.zeros((96, 96), np.uint8)
    ignore[:, :48] = 1
    save("ignore/a.tif", ignore)
    config.data.batch_size = 3
    return open_dataset(config)


def draw(batches, count: int) -> list[dict[str, np.ndarray]]:
    """Copies: those of workers lie in memory that they take back."""
    found = [{k: np.array(v) for k, v in next(batches).items()} for _ in range(count)]
    return found


def assert_same(first, second) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_batches_have_the_promised_form(dataset, config):
    batches = pipeline.train_batches(dataset, (0, 1, 2), config)
    (batch,) = draw(batches, 1)
    batches.close()
    for array in batch.values():
        assert array.shape == (3, 64, 64, 1) and array.dtype == np.float32
    assert set(batch) == {"image", "mask", "weight", "distance"}
    assert set(np.unique(batch["mask"])) == {0, 1}
    assert set(np.unique(batch["weight"])) <= {0, 1}
    assert (batch["mask"] * (1 - batch["weight"])).sum() == 0


def test_processes_draw_between_them_the_batch_of_one(dataset, config):
    config.data.batch_size = 4
    whole = pipeline.train_batches(dataset, (0, 1, 2), config)
    expected = draw(whole, 5)
    whole.close()
    shares = []
    for rows in (range(0, 2), range(2, 4)):
        batches = pipeline.train_batches(dataset, (0, 1, 2), config, rows)
        first = draw(batches, 2)
        batches.set_state(batches.get_state())  # as when a run goes on
        shares.append(first + draw(batches, 3))
        batches.close()
    for batch, *parts in zip(expected, *shares, strict=True):
        for key in batch:
            joined = np.concatenate([part[key] for part in parts])
            np.testing.assert_array_equal(joined, batch[key])


def test_heads_get_their_targets(dataset, config):
    config.model.heads = ("mask", "distance")
    batches = pipeline.train_batches(dataset, (1, 2), config)
    (batch,) = draw(batches, 1)
    batches.close()
    (evaluation,) = pipeline.eval_batches(dataset, (1, 2), config, 3, 4)
    for arrays in (batch, evaluation.arrays):
        assert arrays["distance"].shape == arrays["mask"].shape
        assert set(np.unique(arrays["distance"][arrays["mask"] == 0])) == {-1, 0}
        assert arrays["distance"].max() == 1
    assert (evaluation.arrays["distance"][2:] == 0).all()


def test_unknown_pixels_weigh_nothing(dataset, config):
    config.data.augment.enabled = False
    batches = pipeline.train_batches(dataset, (0,), config)
    weight = np.concatenate([b["weight"] for b in draw(batches, 10)])
    batches.close()
    columns = weight[..., 0].min(1)  # unknown on the left of the image
    assert (np.diff(columns, axis=1) >= 0).all()
    assert 0 < columns.mean() < 1


@pytest.mark.slow
def test_workers_change_nothing(dataset, config):
    found = []
    for workers in (0, 2):
        config.data.workers = workers
        batches = pipeline.train_batches(dataset, (0, 1, 2), config)
        found.append(draw(batches, 9))
        batches.close()
    assert_same(*found)


def test_a_stopped_run_goes_on_with_the_same_batches(dataset, config):
    whole = pipeline.train_batches(dataset, (0, 1, 2), config)
    expected = draw(whole, 12)
    whole.close()
    for stop in (0, 1, 7):
        batches = pipeline.train_batches(dataset, (0, 1, 2), config)
        draw(batches, stop)
        state = json.loads(json.dumps(batches.get_state()))
        batches.close()
        again = pipeline.train_batches(dataset, (0, 1, 2), config)
        again.set_state(state)
        assert_same(draw(again, 12 - stop), expected[stop:])
        again.close()


def test_a_state_can_be_set_back(dataset, config):
    batches = pipeline.train_batches(dataset, (0, 1, 2), config)
    draw(batches, 2)
    state = batches.get_state()
    first = draw(batches, 3)
    batches.set_state(state)
    assert_same(draw(batches, 3), first)
    batches.close()


def test_orbax_stores_and_restores_the_place(dataset, config, tmp_path):
    from orbax.checkpoint import v1 as ocp

    batches = pipeline.train_batches(dataset, (0, 1, 2), config)
    draw(batches, 4)
    ocp.save_checkpointables(tmp_path / "saved", {"batches": batches})
    expected = draw(batches, 2)
    batches.close()
    again = pipeline.train_batches(dataset, (0, 1, 2), config)
    ocp.load_checkpointables(tmp_path / "saved", {"batches": again})
    assert_same(draw(again, 2), expected)
    again.close()


def test_seeds_give_other_batches(dataset, config):
    found = []
    for config.data.seed in (0, 1):
        batches = pipeline.train_batches(dataset, (0, 1, 2), config)
        found.append(draw(batches, 1)[0]["image"])
        batches.close()
    assert (found[0] != found[1]).any()


def test_epochs_differ_but_see_every_image_equally(config, save, grid):
    for i in range(4):  # an image of one value, but for a pixel, says which it is
        image = np.full((64, 64), 10 + i, np.uint8)
        labels = grid(i + 1, (64, 64))
        image[labels > 0] = 200
        save(f"images/{i}.tif", image)
        save(f"masks/{i}.tif", labels.astype(np.uint16))
    config.data.batch_size, config.data.augment.enabled = 4, False
    dataset = open_dataset(config)
    assert pipeline.steps_per_epoch(dataset, range(4), config) == 1
    batches = pipeline.train_batches(dataset, range(4), config)
    orders = []
    for batch in draw(batches, 6):
        pixels = batch["mask"].sum((1, 2, 3))
        orders.append(tuple(pixels.tolist()))
        assert len(set(orders[-1])) == 4
    batches.close()
    assert len(set(orders)) > 1


def test_a_tile_is_drawn_in_proportion_to_its_area(config, save, grid, picture):
    for name, shape in (("large", (128, 192)), ("small", (64, 64))):
        labels = grid(4, shape)
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    config.data.batch_size = 2
    dataset = open_dataset(config)
    assert pipeline.steps_per_epoch(dataset, (0, 1), config) == math.ceil(7 / 2)
    source = pipeline._crops(dataset, (0, 1), config)
    drawn = Counter(dataset.records[i].source for i in source.numbers)
    assert drawn == {"large": 6, "small": 1}


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_of_the_crops_so_many_are_generated_and_their_masks_complete(
    dataset, config, share
):
    config.data.rehearsal = share
    records = [replace(r, completeness=0.5) for r in dataset.records]
    both = replace(dataset, records=tuple(records), rehearsal=dataset)
    source = pipeline._crops(both, (0, 1), config)
    generated = [number < 0 for number in source.numbers]
    assert np.mean(generated) == pytest.approx(share, abs=0.02)
    assert {0, 1, -1, -2, -3} == set(source.numbers)
    for number, index in zip(source.numbers, range(len(source)), strict=True):
        tile = source[index]
        original = dataset[number if number >= 0 else -1 - number]
        np.testing.assert_array_equal(tile["image"], original["image"])
        assert tile["completeness"] == (1.0 if number < 0 else 0.5)


def test_each_level_of_an_image_gives_as_many_crops(dataset, config):
    at = [replace(dataset.records[0], scale=s, page_shape=(96, 96)) for s in (1, 0.5)]
    several = replace(dataset, records=tuple(at))
    drawn = Counter(pipeline._crops(several, (0, 1), config).numbers)
    assert drawn == {0: pipeline.PER_LEVEL, 1: pipeline.PER_LEVEL}


def test_evaluation_sees_every_pixel_of_every_tile_once(dataset, config):
    batches = list(pipeline.eval_batches(dataset, (2, 0, 1), config, 2, 4))
    seen = []
    for batch in batches:
        assert batch.arrays["image"].shape == (2, 96, 96, 1)
        for row, i in enumerate(batch.records):
            seen.append(i)
            tile = dataset[i]
            for key, expected in (
                ("image", tile["image"]),
                ("mask", tile["labels"] > 0),
                ("weight", tile["labels"] >= 0),
            ):
                np.testing.assert_array_equal(batch.arrays[key][row, ..., 0], expected)
        assert batch.arrays["weight"][len(batch.records) :].sum() == 0
    assert sorted(seen) == [0, 1, 2]


def test_padding_of_evaluation_weighs_nothing(config, save, grid, picture):
    for name, shape in (("a", (70, 90)), ("b", (65, 81))):
        labels = grid(4, shape)
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", labels.astype(np.uint16))
    dataset = open_dataset(config)
    (batch,) = pipeline.eval_batches(dataset, (0, 1), config, 2, 16)
    height, width = batch.arrays["image"].shape[1:3]
    assert height % 16 == width % 16 == 0
    assert batch.arrays["weight"][0].sum() == 70 * 90
    assert batch.arrays["weight"][1].sum() == 65 * 81
    tile = dataset[0]["image"]
    expected = np.pad(tile, ((0, height - 70), (0, width - 90)), "symmetric")
    np.testing.assert_array_equal(batch.arrays["image"][0, ..., 0], expected)


def test_many_sizes_make_few_shapes_with_little_padding():
    rng = np.random.default_rng(0)
    sizes = [tuple(16 * rng.integers(4, 33, 2)) for _ in range(30)]
    padded = pipeline._merge_shapes(Counter(sizes))
    assert len(set(padded.values())) <= 3
    for size in sizes:
        assert padded[size][0] >= size[0] and padded[size][1] >= size[1]
    used = sum(math.prod(padded[size]) for size in sizes)
    one = math.prod(np.max(sizes, 0)) * len(sizes)
    assert used < 0.75 * one


def test_shapes_far_apart_are_not_merged():
    counts = Counter({(512, 512): 5, (64, 64): 5})
    assert set(pipeline._merge_shapes(counts).values()) == {(512, 512), (64, 64)}
    counts = Counter({(512, 512): 5, (496, 512): 5})
    assert set(pipeline._merge_shapes(counts).values()) == {(512, 512)}


def test_a_closed_iterator_says_so(dataset, config):
    batches = pipeline.train_batches(dataset, (0,), config)
    batches.close()
    batches.close()
    with pytest.raises(ValueError, match="closed"):
        next(batches)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Grain worker process 0 was terminated unexpectedly with -7"),
        PermissionError(13, "Permission denied"),
    ],
)
def test_no_shared_memory_for_workers_is_one_line(error):
    with pytest.raises(BeadsegError, match="workers = 2.*workers=0"):
        with pipeline._shared_memory(2):
            raise error
    with pytest.raises(type(error)):
        with pipeline._shared_memory(0):
            raise error
