"""The fast forms equal the plain operations, in value and gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from beadseg.models.norms import EPSILON, normalise_batch
from beadseg.models.primitives import (
    add_bias,
    convolve,
    convolve_plain,
    max_pool,
    per_channel,
    sum_pixels,
    up_conv,
)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_same(fast, plain, *arguments):
    """Equal values, and equal gradients of a random projection of them."""
    expected = plain(*arguments)
    direction = draw(*expected.shape, seed=9)

    def both(function):
        def value(*a):
            return (function(*a) * direction).sum()

        return jax.jit(jax.grad(value, tuple(range(len(arguments)))))(*arguments)

    np.testing.assert_allclose(fast(*arguments), expected, rtol=1e-5, atol=2e-5)
    for found, wanted in zip(both(fast), both(plain), strict=True):
        scale = float(jnp.abs(wanted).max())
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5 * scale)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (9, 5), (1, 2)])
@pytest.mark.parametrize(("channels", "features"), [(1, 4), (5, 3), (16, 16), (24, 8)])
def test_convolve_equals_the_plain_convolution(size, height, width, channels, features):
    x = draw(2, height, width, channels)
    kernel = draw(size, size, channels, features, seed=1)
    assert_same(convolve, convolve_plain, x, kernel)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10), (14, 4)])
def test_halve_equals_max_pooling(height, width):
    def pool(x):
        return nn.max_pool(x, (2, 2), (2, 2))

    assert_same(max_pool, pool, draw(2, height, width, 3))


def test_halve_gives_the_gradient_of_a_tie_to_one_pixel():
    x = jnp.zeros((1, 4, 4, 2))
    gradient = jax.jit(jax.grad(lambda x: max_pool(nn.relu(x) + 1.0 * x).sum()))(x)
    assert np.isfinite(gradient).all()
    ties = jax.grad(lambda x: max_pool(x).sum())(x)
    squares = ties.reshape(1, 2, 2, 2, 2, 2).sum((2, 4))
    np.testing.assert_array_equal(squares, 1)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (4, 4), (1, 1)])
def test_double_equals_a_transposed_convolution(height, width):
    x, kernel = draw(2, height, width, 6), draw(6, 4 * 3, seed=1)

    def plain(x, kernel):
        # lax convolves with the kernel as it stands: turned by half a turn.
        square = kernel.reshape(6, 2, 2, 3).transpose(1, 2, 0, 3)[::-1, ::-1]
        return jax.lax.conv_transpose(
            x, square, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert_same(up_conv, plain, x, kernel)


SHAPES = [(2, 7, 5, 3), (1, 1, 1, 4), (3, 16, 6, 16), (2, 32, 8, 300), (8, 48, 64, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_sum_pixels_is_the_sum_of_each_channel(shape):
    x = draw(*shape)
    exact = np.asarray(x, np.float64).sum((0, 1, 2))
    bound = 1e-6 * np.abs(np.asarray(x, np.float64)).sum((0, 1, 2)) + 1e-7
    assert (np.abs(sum_pixels(x) - exact) <= bound).all()
    assert sum_pixels(x.astype(jnp.bfloat16)).dtype == jnp.float32


@pytest.mark.parametrize("shape", SHAPES)
def test_shift_adds_the_bias_of_each_channel(shape):
    def plain(x, bias):
        return x + bias.reshape(1, 1, 1, -1)

    assert_same(add_bias, plain, draw(*shape), draw(shape[-1], seed=1))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("shape", [(2, 7, 5, 3), (3, 16, 6, 16), (2, 32, 8, 64)])
def test_normalise_batch_equals_the_batch_norm_of_flax(shape, relu):
    def fast(x, gain, bias):
        return normalise_batch(x, gain, bias, relu, None)[0]

    def plain(x, gain, bias):
        norm = nn.BatchNorm(use_running_average=False, epsilon=EPSILON)
        shapes = jax.tree.map(jnp.zeros_like, {"mean": gain, "var": gain})
        variables = {"params": {"scale": gain, "bias": bias}, "batch_stats": shapes}
        result, _ = norm.apply(variables, x, mutable=["batch_stats"])
        return nn.relu(result) if relu else result

    x = 2.0 * draw(*shape) + per_channel(draw(shape[-1], seed=3), draw(*shape))
    gain, bias = 1.0 + 0.2 * draw(shape[-1], seed=1), draw(shape[-1], seed=2)
    assert_same(fast, plain, x, gain, bias)
    _, mean, variance = normalise_batch(x, gain, bias, relu, None)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-4)


def test_normalise_batch_over_members_of_an_axis_is_that_of_them_all():
    x, direction = draw(4, 6, 8, 5), draw(4, 6, 8, 5, seed=4)
    gain, bias = 1.0 + 0.2 * draw(5, seed=1), draw(5, seed=2)

    def value(x, direction, axis_name):
        return (normalise_batch(x, gain, bias, True, axis_name)[0] * direction).sum()

    halves = [a.reshape(2, 2, 6, 8, 5) for a in (x, direction)]
    both = jax.vmap(
        jax.value_and_grad(partial(value, axis_name="half")), axis_name="half"
    )
    values, found = both(*halves)
    expected, wanted = jax.value_and_grad(value)(x, direction, None)
    np.testing.assert_allclose(values.sum(), expected, rtol=1e-4)
    np.testing.assert_allclose(found.reshape(x.shape), wanted, rtol=1e-3, atol=1e-5)
