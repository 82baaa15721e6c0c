import jax
import jax.numpy as jnp
import numpy as np
import pytest

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.losses import LOSSES, total_loss
from configs import base


def config_of(name="unet", **fields):
    config = base.get_config().model
    config.name, config.width, config.depth = name, 4, 2
    for field, value in fields.items():
        config[field] = value
    return config


def prepared(config, seed=0):
    """The network and variables, with running statistics as after training."""
    model = models.build(config)
    variables = jax.jit(model.init)(jax.random.key(seed), jnp.zeros((1, 16, 16, 1)))
    rng = np.random.default_rng(seed)

    def draw(path, x):
        low, high = (-0.1, 0.1) if path[-1].key == "mean" else (0.05, 0.2)
        return jnp.asarray(rng.uniform(low, high, x.shape), x.dtype)

    statistics = jax.tree_util.tree_map_with_path(
        draw, variables.get("batch_stats", {})
    )
    return model, {"params": variables["params"], "batch_stats": statistics}


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((1, height, width, 1)).astype(np.float32)


@pytest.mark.parametrize("name", models.MODELS)
def test_tiled_prediction_equals_whole_image_prediction(name):
    config = config_of(name)
    model, variables = prepared(config)
    apply = jax.jit(lambda x: model.apply(variables, x)["mask"])
    grid, radius = model.stride, model.receptive_field
    margin = -(-radius // grid) * grid
    core = 32
    size = core + 4 * margin
    image = picture(size, size)
    whole = np.asarray(apply(image))
    first = 2 * margin
    inner = slice(first, first + core)
    tile = image[:, first - margin : first + core + margin]
    tile = tile[:, :, first - margin : first + core + margin]
    found = np.asarray(apply(tile))[:, margin:-margin, margin:-margin]
    assert whole.std() > 0.002
    np.testing.assert_allclose(found, whole[:, inner, inner], atol=1e-4)


@pytest.mark.parametrize("name", models.MODELS)
def test_a_pixel_beyond_the_receptive_field_changes_nothing(name):
    config = config_of(name)
    model, variables = prepared(config)
    radius = model.receptive_field
    size = 2 * radius + 17
    image = picture(size, size)
    changed = image.copy()
    at = size // 2
    changed[:, at, at] += 5
    apply = jax.jit(lambda x: model.apply(variables, x)["mask"])
    moved = np.abs(np.asarray(apply(changed) - apply(image)))[0, ..., 0] > 1e-6
    rows, columns = np.nonzero(moved)
    assert len(rows) > 9
    assert np.abs(rows - at).max() <= radius
    assert np.abs(columns - at).max() <= radius


@pytest.mark.parametrize("shape", [(16, 16), (17, 30), (5, 9)])
def test_any_size_gives_logits_of_its_size(shape):
    model, variables = prepared(config_of(heads=("mask", "distance")))
    outputs = model.apply(variables, picture(*shape))
    assert {name: x.shape for name, x in outputs.items()} == {
        "mask": (1, *shape, 1),
        "distance": (1, *shape, 1),
    }


def test_deep_supervision_gives_logits_at_each_level():
    model, variables = prepared(config_of(deep_supervision=True))
    deep = model.apply(variables, picture(17, 30))["deep"]
    assert [x.shape for x in deep] == [(1, 9, 15, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_under_jit(name, loss):
    model, variables = prepared(config_of(name))
    image = np.repeat(picture(32, 32), 2, 0)
    image[:, :16] = 0  # equal pixels: every maximum of the pooling is a tie
    mask = (image > 0.5).astype(np.float32)

    def value(params):
        outputs, _ = model.apply(
            variables | {"params": params},
            image,
            train=True,
            dropout_rate=jnp.float32(0.3),
            dropout_keys=jax.random.split(jax.random.key(0), 2),
            mutable=["batch_stats"],
        )
        return total_loss(loss, outputs, mask, jnp.ones_like(mask), {}).mean()

    gradients = jax.jit(jax.grad(value))(variables["params"])
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(gradients)]
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert sum(np.abs(leaf).sum() for leaf in leaves) > 0


def dropped(model, variables, image, rate, keys):
    outputs, _ = model.apply(
        variables,
        image,
        train=True,
        dropout_rate=jnp.float32(rate),
        dropout_keys=keys,
        mutable=["batch_stats"],
    )
    return np.asarray(outputs["mask"])


def test_dropout_at_rate_zero_is_the_identity_and_else_is_not():
    model, variables = prepared(config_of(norm="none"))
    image, keys = picture(16, 16), jax.random.split(jax.random.key(1), 1)
    plain = np.asarray(model.apply(variables, image)["mask"])
    np.testing.assert_allclose(dropped(model, variables, image, 0.0, keys), plain)
    assert np.abs(dropped(model, variables, image, 0.5, keys) - plain).max() > 1e-4


def test_what_is_dropped_depends_on_the_key_of_the_example_alone():
    model, variables = prepared(config_of(norm="none"))
    image = np.repeat(picture(16, 16), 3, 0)
    keys = jax.random.split(jax.random.key(1), 3)
    together = dropped(model, variables, image, 0.5, keys)
    for i in range(3):
        alone = dropped(model, variables, image[:1], 0.5, keys[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


def test_bfloat16_gives_float32_logits_near_those_of_float32():
    model, variables = prepared(config_of(bfloat16=False))
    half = models.build(config_of(bfloat16=True))
    image = picture(32, 32)
    exact, near = (m.apply(variables, image)["mask"] for m in (model, half))
    assert near.dtype == jnp.float32
    assert np.abs(exact - near).max() < 0.05 * np.abs(exact).max() + 0.05


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "vnet", "unet, attention_unet, attention_resunet"),
        ("norm", "instance", "batch, weight, channel, group, none"),
        ("depth", 0, "at least 1"),
        ("heads", ("mask", "mask"), "different names"),
        ("heads", ("mask", "centre"), "mask, then any of distance"),
    ],
)
def test_what_makes_no_network_is_refused(field, value, words):
    with pytest.raises(BeadsegError, match=words):
        models.build(config_of(**{field: value}))
