"""Tiling is exact: a tile of any size gives what the whole image gives.

With JAX, and with ONNX Runtime where it is asked for.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.inference.export.onnx_graph import build_graph
from beadseg.inference.networks.runtime import Extent, Graph
from beadseg.inference.networks.tiles import (
    Network,
    source_of,
    spans,
    turned,
    turned_back,
)
from beadseg.training.weights import Weights
from configs import base

RUNTIMES = ("jax", "onnx")


def run_of(name="unet", runtime="jax", **fields):
    """A run with drawn weights and statistics, as prediction needs it."""
    config = base.get_config().model
    config.name, config.width, config.depth = name, 2, 1
    for field, value in fields.items():
        config[field] = value
    model = models.build(config)
    variables = jax.jit(model.init)(jax.random.key(1), jnp.zeros((1, 16, 16, 1)))
    rng = np.random.default_rng(1)

    def draw(path, x):
        low, high = (-0.1, 0.1) if path[-1].key == "mean" else (0.05, 0.2)
        return rng.uniform(low, high, x.shape).astype(x.dtype)

    def spread(path, x):  # probabilities from 0 to 1, not all about 1/2
        return np.asarray(x) * (20 if path[0].key.startswith("head") else 1)

    with_path = jax.tree_util.tree_map_with_path
    variables = {
        "params": with_path(spread, variables["params"]),
        "batch_stats": with_path(draw, variables.get("batch_stats", {})),
    }
    extent = Extent(*(getattr(model, field) for field in Extent._fields))
    content = None
    if runtime == "onnx":
        content = build_graph(config, Weights(*variables.values())).SerializeToString()
    return SimpleNamespace(
        model_config=config,
        build=lambda: model,
        variables=variables,
        graph=Graph(extent, content),
    )


def whole(run, image):
    outputs = jax.jit(run.build().apply)(run.variables, image[None, :, :, None])
    return {name: jax.nn.sigmoid(x)[0, :, :, 0] for name, x in outputs.items()}


def picture(height, width):
    return np.random.default_rng(0).random((height, width)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_any_tile_gives_what_the_whole_image_gives(name, runtime):
    run = run_of(name, runtime, heads=("mask", "distance"), depth=2)
    image = picture(333, 281)
    expected = whole(run, image)
    assert expected["mask"].std() > 0.01
    network = Network(run, tile=512)
    for tile in (512, 256, 128):
        network._tile = tile  # the program of the largest holds all windows
        found = network.predict(image)
        np.testing.assert_allclose(found.probability, expected["mask"], atol=2e-4)
        np.testing.assert_allclose(found.distance, expected["distance"], atol=2e-4)


def test_bands_join_to_the_whole_and_come_from_the_top():
    run, image = run_of(), picture(301, 90)
    network = Network(run, tile=72)

    def read(top, bottom, left, right):
        rows, columns = np.arange(top, bottom), np.arange(left, right)
        return image[np.minimum(rows, 300)[:, None], np.minimum(columns, 89)]

    bands = list(network.bands(read, image.shape))
    assert len(bands) > 2
    tops = np.cumsum([0] + [len(band.probability) for band in bands])
    assert [band.top for band in bands] == tops[:-1].tolist()
    joined = np.concatenate([band.probability for band in bands])
    np.testing.assert_allclose(joined, whole(run, image)["mask"], atol=1e-4)


def test_the_more_tiles_overlap_the_closer_is_their_blend():
    run, image = run_of(norm="none"), picture(151, 113)
    network = Network(run)
    expected = network.predict(image).probability
    error = []
    for overlap in (0, 2, 6):
        network._tile, network._margin, network._blend = 40, overlap, overlap
        bands = list(network.bands(source_of(image), image.shape))
        tops = np.cumsum([0] + [len(band.probability) for band in bands])
        assert [band.top for band in bands] == tops[:-1].tolist()
        found = np.concatenate([band.probability for band in bands])
        error.append(np.abs(found - expected).max())
    assert error[2] < error[1] < error[0]


def test_weights_of_blended_tiles_add_up_to_one():
    run = run_of(norm="none")
    constant = SimpleNamespace(**vars(run))
    constant.variables = jax.tree.map(np.zeros_like, run.variables)
    found = Network(constant, tile=40, overlap=6).predict(picture(151, 113))
    np.testing.assert_allclose(found.probability, 0.5, atol=1e-6)


def test_augmented_prediction_is_the_mean_over_the_symmetries():
    run, image = run_of(), picture(48, 64)
    network, plain = Network(run, augment=True), Network(run)
    each = [
        turned_back(plain.predict(turned(image, k)).probability, k) for k in range(8)
    ]
    found = network.predict(image)
    np.testing.assert_allclose(found.probability, np.mean(each, 0), atol=1e-5)
    np.testing.assert_allclose(found.square, np.mean(np.square(each), 0), atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_augmented_tiles_are_exact_too(runtime):
    image = picture(141, 203)
    network = Network(run_of(runtime=runtime), augment=True)
    once = network.predict(image)
    network._tile = 64
    tiled = network.predict(image)
    np.testing.assert_allclose(tiled.probability, once.probability, atol=1e-4)


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_images_together_are_predicted_as_each_alone(name, augment, runtime):
    run = run_of(name, runtime, heads=("mask", "distance"), depth=2)
    network = Network(run, augment=augment)
    images = [picture(*shape) for shape in ((90, 141), (45, 71), (23, 36), (12, 18))]
    assert all(network.holds(image.shape) for image in images)
    together = network.together([(source_of(i), i.shape) for i in images])
    if runtime == "jax":  # one window, which may be turned
        assert len(network._runtime._shapes) == 1 + augment
    for image, found in zip(images, together, strict=True):
        alone = network.predict(image)
        for kind in ("probability", "distance", "square"):
            one, other = getattr(found, kind), getattr(alone, kind)
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_network_that_looks_at_the_whole_image_has_a_window_for_each():
    images = [picture(64, 64), picture(32, 32)]
    network = Network(run_of(norm="group"))
    together = network.together([(source_of(i), i.shape) for i in images])
    for image, found in zip(images, together, strict=True):
        np.testing.assert_array_equal(
            found.probability, network.predict(image).probability
        )


def test_images_of_many_sizes_compile_few_programs():
    network = Network(run_of(heads=("mask",)))
    jax_ = network._runtime
    jax_._apply = lambda _, windows, extents: np.zeros((*windows.shape[:3], 1))
    sizes = np.random.default_rng(0).integers(40, 200, (200, 2))
    for height, width in sizes:
        assert network.predict(picture(height, width)).probability.shape == (
            height,
            width,
        )
    assert len(jax_._shapes) <= 8


@pytest.mark.parametrize("length", [8, 100, 333, 1000, 4096])
@pytest.mark.parametrize("tile", [8, 64, 200])
def test_spans_cover_once_with_all_that_is_needed_around(length, tile):
    stride, margin = 8, 24
    length, tile = -(-length // stride) * stride, -(-tile // stride) * stride
    found = spans(length, tile, margin, stride)
    covered = np.concatenate([np.arange(s.first, s.last) for s in found])
    np.testing.assert_array_equal(covered, np.arange(length))
    assert len({s.stop - s.start for s in found}) == 1
    for span in found:
        assert span.start % stride == 0
        assert 0 <= span.start < span.stop <= length
        assert span.start == 0 or span.first - span.start >= margin
        assert span.stop == length or span.stop - span.last >= margin


def test_an_overlap_that_needs_larger_tiles_says_so():
    with pytest.raises(BeadsegError, match=r"--overlap 4 needs --tile 24 or more"):
        Network(run_of(), tile=20, overlap=4)


@pytest.mark.parametrize(
    ("tiling", "line"),
    [
        ({"tile": 15}, "--tile 15: give 16 px or more"),
        ({"tile": 1}, "--tile 1: give 16 px or more"),
        ({"tile": 0}, "--tile 0: give 16 px or more"),
        ({"tile": -5, "overlap": 2}, "--tile -5: give 16 px or more"),
        ({"overlap": -1}, "--overlap -1: give 0 px or more"),
    ],
)
def test_tiles_that_are_nearly_all_overlap_are_one_line(tiling, line):
    with pytest.raises(BeadsegError) as error:
        Network(run_of(), **tiling)
    assert str(error.value) == line


@pytest.mark.parametrize("tiling", [{"tile": 16}, {"tile": 10**12}, {"overlap": 10**9}])
def test_tiles_of_any_other_size_give_what_one_gives(tiling):
    image = picture(70, 50)
    found = Network(run_of(), **tiling).predict(image).probability
    whole = Network(run_of()).predict(image).probability
    np.testing.assert_allclose(found, whole, atol=1e-5)
