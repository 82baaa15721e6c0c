"""The parts that the U-shaped networks are built from.

All take and give [B, H, W, C]. At inference nothing looks at the extent of the image or
at its neighbours in the batch, but for the norm "group": tiled prediction must equal
whole-image prediction.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from beadseg.models import norms
from beadseg.models.norms import MOMENTUM, Norm, stem_norm
from beadseg.models.primitives import add_bias, convolve, per_channel, up_conv


class Convolution(nn.Module):
    """Convolution, norm, bias and relu; several inputs count as joined channels.

    `gain` is the initial scale of the output: small for the last convolution of a
    residual branch, so that blocks start close to the identity.
    """

    features: int
    norm: Norm
    size: int = 3
    relu: bool = True
    gain: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *inputs: jax.Array) -> jax.Array:
        x = inputs[0] if len(inputs) == 1 else jnp.concatenate(inputs, -1)
        kind = self.norm.kind
        variance = 2.0 * self.gain**2 if kind == "none" else 1.0
        kernel = self.param(
            "kernel",
            nn.initializers.variance_scaling(variance, "fan_in", "truncated_normal"),
            (self.size, self.size, x.shape[-1], self.features),
        )
        gain = jnp.ones(())
        if kind != "none":
            initial = nn.initializers.constant(self.gain)
            gain = self.param("gain", initial, (self.features,))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        if kind == "weight":
            kernel = norms.standardise_kernel(kernel) * gain.reshape(1, 1, 1, -1)
        x = convolve(x, kernel.astype(self.dtype))
        if kind == "batch":
            return self._normalise_batch(x, gain, bias)
        if kind in norms.NORMALISE:
            x = norms.NORMALISE[kind](x)
            x = x * per_channel(gain, x)
        x = add_bias(x, bias)
        return nn.relu(x) if self.relu else x

    def _normalise_batch(self, x, gain, bias):
        shape = (self.features,)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        variance = self.variable("batch_stats", "var", jnp.ones, shape)
        if not self.norm.train:
            gain = gain / jnp.sqrt(variance.value + norms.EPSILON)
            x = norms.scale_and_bias(x, gain, bias - mean.value * gain)
            return nn.relu(x) if self.relu else x
        axis_name = self.norm.axis_name
        x, *now = norms.normalise_batch(x, gain, bias, self.relu, axis_name)
        if not self.is_initializing():
            for running, value in zip((mean, variance), now, strict=True):
                running.value = MOMENTUM * running.value + (1.0 - MOMENTUM) * value
        return x


class UpConv(nn.Module):
    """Doubles height and width: a 2x2 transposed convolution of stride 2."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        initial = nn.initializers.lecun_normal()
        kernel = self.param("kernel", initial, (x.shape[-1], 4 * self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return add_bias(up_conv(x, kernel.astype(self.dtype)), bias)


def gather_pixels(x: jax.Array) -> jax.Array:
    """[B, 2 H, 2 W, C] -> [B, H, W, 4 C]: each 2x2 square of pixels becomes one."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // 2, width // 2, -1)


class AttentionGate(nn.Module):
    """Weighs the pixels of a skip connection by what the level below has seen.

    Additive attention (Oktay et al. 2018, arXiv 1804.03999), computed as there on the
    coarse grid: the skip enters through a 2x2 convolution of stride 2. The weights, one
    for each pixel, return to the fine grid by a learned 2x2 transposed convolution
    where the paper interpolates.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, skip: jax.Array, below: jax.Array) -> jax.Array:
        """skip [B, 2 H, 2 W, C], below [B, H, W, D] -> [B, 2 H, 2 W, C]."""
        query = nn.Dense(self.features, dtype=self.dtype, name="below")(below)
        key = nn.Dense(self.features, False, dtype=self.dtype, name="skip")
        hidden = nn.relu(query + key(gather_pixels(skip)))
        return skip * nn.sigmoid(UpConv(1, self.dtype, name="weights")(hidden))


class PlainBlock(nn.Module):
    """Convolutions one after the other; dropout after the first."""

    features: int
    norm: Norm
    convolutions: int = 2
    stem: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, *inputs: jax.Array, drop: Callable | None = None) -> jax.Array:
        for i in range(self.convolutions):
            norm = stem_norm(self.norm) if self.stem and i == 0 else self.norm
            x = Convolution(self.features, norm, dtype=self.dtype, name=f"conv_{i}")(
                *inputs
            )
            inputs = (drop(x) if drop is not None and i == 0 else x,)
        return inputs[0]


class ResidualBlock(PlainBlock):
    """Convolutions whose result is added to a linear map of the input (He 2016)."""

    @nn.compact
    def __call__(self, *inputs: jax.Array, drop: Callable | None = None) -> jax.Array:
        norm = stem_norm(self.norm) if self.stem else self.norm
        shortcut = Convolution(
            self.features, norm, 1, relu=False, dtype=self.dtype, name="shortcut"
        )(*inputs)
        for i in range(self.convolutions):
            last = i == self.convolutions - 1
            x = Convolution(
                self.features,
                norm if i == 0 else self.norm,
                relu=not last,
                gain=0.25 if last else 1.0,
                dtype=self.dtype,
                name=f"conv_{i}",
            )(*inputs)
            inputs = (drop(x) if drop is not None and i == 0 else x,)
        return nn.relu(shortcut + inputs[0])


def drop_channels(
    x: jax.Array, rate: jax.Array | float, keys: jax.Array, place: int
) -> jax.Array:
    """Sets whole channels of an example to zero (spatial dropout, Tompson et al. 2015).

    Neighbouring pixels are alike, so that single ones dropped would be filled in from
    them; and one draw a channel costs nothing where one draw a pixel costs as much as
    a convolution on a CPU.

    Args:
      x: [B, H, W, C].
      rate: share of the channels, may be traced; 0 is exactly the identity.
      keys: [B], one an example: what is drawn does not depend on how a batch is spread
        over devices.
      place: tells apart the places of a network where channels are dropped.
    """

    def draw(key):
        key = jax.random.fold_in(key, place)
        return jax.random.bernoulli(key, 1.0 - rate, (1, 1, x.shape[-1]))

    factor = jnp.where(jax.vmap(draw)(keys), 1.0 / (1.0 - rate), 0.0)
    return x * factor.astype(x.dtype)
