"""The fast forms equal the plain operations, in value and gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from beadseg.models.primitives import convolve, convolve_plain, double, halve


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

    assert_same(halve, pool, draw(2, height, width, 3))


def test_halve_gives_the_gradient_of_a_tie_to_one_pixel():
    x = jnp.zeros((1, 4, 4, 2))
    gradient = jax.jit(jax.grad(lambda x: halve(nn.relu(x) + 1.0 * x).sum()))(x)
    assert np.isfinite(gradient).all()
    ties = jax.grad(lambda x: halve(x).sum())(x)
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

    assert_same(double, plain, x, kernel)
