"""Convolution, pooling, doubling and sums, in the forms that XLA runs fast on a CPU.

Each equals the plain operation in value and gradient, on any backend. They
were chosen by timing on two cores, against the plain operation.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
# With no more channels than this on both sides, XLA leaves a convolution to its slow
# kernels; pairs of pixels have twice as many.
FEW_CHANNELS = 16
# A sum over pixels adds so many bands of rows first, number by number, then rows that
# are so many numbers long.
BANDS, COLUMNS = 16, 256


@jax.custom_vjp
def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution of stride 1 with zeros around the image.

    x [B, H, W, C], kernel [h, w, C, D] of odd height and width -> [B, H, W, D].
    """
    return _convolve(x, kernel)


def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    size, few = kernel.shape[:2], max(kernel.shape[2:]) <= FEW_CHANNELS
    if few and size == (3, 3) and x.shape[2] % 2 == 0 and _on_cpu():
        return convolve_pairs(x, kernel)
    return convolve_plain(x, kernel)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def convolve_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`convolve` as one operation of XLA."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS
    )


def convolve_pairs(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 3x3 `convolve` that takes two neighbours in a row (W is even) as one pixel.

    The pairs that go in are shifted by one pixel against those that come out, so that
    two of them hold all that a pair depends on: 4/3 of the products, in twice the
    channels, which is faster where there are few.
    """
    batch, height, width, channels = x.shape
    features = kernel.shape[-1]
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    x = x.reshape(batch, height, width // 2 + 1, 2 * channels)
    left = jnp.pad(kernel, ((0, 0), (0, 1), (0, 0), (0, 0)))
    right = jnp.pad(kernel, ((0, 0), (1, 0), (0, 0), (0, 0)))
    kernel = jnp.stack([left, right], 3).reshape(3, 2, 2 * channels, 2 * features)
    out = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (0, 0)), dimension_numbers=DIMENSIONS
    )
    return out.reshape(batch, height, width, features)


def _convolve_forward(x, kernel):
    return _convolve(x, kernel), (x, kernel)


def _convolve_backward(saved, gradient):
    x, kernel = saved
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    if x.shape[-1] > gradient.shape[-1]:
        # As the gradient of the flipped kernel, that of a convolution from `gradient`
        # to `x`: faster with many pixels, for the larger number of features.
        (of_flipped,) = jax.vjp(partial(convolve_plain, gradient), flipped)[1](x)
        of_kernel = of_flipped[::-1, ::-1].swapaxes(2, 3)
    else:
        (of_kernel,) = jax.vjp(partial(convolve_plain, x), kernel)[1](gradient)
    return _convolve(gradient, flipped), of_kernel


convolve.defvjp(_convolve_forward, _convolve_backward)


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
    """The maximum of each 2x2 square of pixels: [B, 2 H, 2 W, C] -> [B, H, W, C].

    The first of equal maxima has the gradient. The gradient of `nn.max_pool` is far
    slower on a CPU, and that of a maximum over a reshaped axis is NaN where it is
    compared with a maximum that was computed another way.
    """
    return _max_pool(x)[0]


def _max_pool(x):
    a, b, c, d = (x[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    top, below = jnp.maximum(a, b), jnp.maximum(c, d)
    place = jnp.where(
        below > top, 2 + (d > c).astype(jnp.int8), (b > a).astype(jnp.int8)
    )
    return jnp.maximum(top, below), jax.lax.optimization_barrier(place)


def _max_pool_backward(place, gradient):
    batch, height, width, channels = gradient.shape
    places = jnp.arange(4, dtype=jnp.int8).reshape(1, 1, 2, 1, 2, 1)
    place = jnp.expand_dims(place, (2, 4))
    gradient = jnp.where(place == places, jnp.expand_dims(gradient, (2, 4)), 0)
    return (gradient.reshape(batch, 2 * height, 2 * width, channels),)


max_pool.defvjp(_max_pool, _max_pool_backward)


@jax.custom_vjp
def up_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The 2x2 transposed convolution of stride 2.

    x [B, H, W, C], kernel [C, 2 * 2 * D] -> [B, 2 H, 2 W, D]. A matrix product that
    gives each pixel its square, and a shuffle; backward by rows, which lie whole in
    memory. `nn.ConvTranspose` is slower both ways.
    """
    batch, height, width, _ = x.shape
    squares = (x @ kernel).reshape(batch, height, width, 2, 2, -1)
    return squares.swapaxes(2, 3).reshape(batch, 2 * height, 2 * width, -1)


def _up_conv_forward(x, kernel):
    return up_conv(x, kernel), (x, kernel)


def _up_conv_backward(saved, gradient):
    x, kernel = saved
    rows = gradient.reshape(*x.shape[:2], 2, -1)
    pixels = x.reshape(-1, x.shape[-1])
    of_x, of_kernel = [], []
    for i, part in enumerate(jnp.split(kernel, 2, 1)):
        pairs = rows[:, :, i].reshape(-1, part.shape[1])
        of_x.append(pairs @ part.T)
        of_kernel.append(pixels.T @ pairs)
    return sum(of_x).reshape(x.shape), jnp.concatenate(of_kernel, 1)


up_conv.defvjp(_up_conv_forward, _up_conv_backward)


def sum_pixels(x: jax.Array) -> jax.Array:
    """The sum of each channel: [B, H, W, C] -> f32[C].

    On a CPU, XLA adds C numbers at a time, or writes down what it is to add: bands of
    rows are therefore added first, in one pass with whatever makes `x`, then long rows.
    The batch stays an axis, over which devices may share the work.
    """
    batch, height, width, channels = x.shape
    x = x.astype(jnp.float32)
    if not _on_cpu():
        return x.sum((0, 1, 2))
    bands = math.gcd(height, BANDS)
    x = x.reshape(batch, bands, -1)
    x = sum(x[:, i] for i in range(bands))
    columns = channels * math.gcd(x.size // channels, max(COLUMNS // channels, 1))
    return x.reshape(-1, columns).sum(0).reshape(-1, channels).sum(0)


def per_channel(numbers: jax.Array, x: jax.Array) -> jax.Array:
    """[C] in the shape and dtype that go with x [B, H, W, C]."""
    return numbers.astype(x.dtype).reshape(1, 1, 1, -1)


@jax.custom_vjp
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
    """x [B, H, W, C] + bias [C]."""
    return x + per_channel(bias, x)


def _add_bias_backward(bias, gradient):
    return gradient, sum_pixels(gradient).astype(bias.dtype)


add_bias.defvjp(lambda x, bias: (add_bias(x, bias), bias), _add_bias_backward)
