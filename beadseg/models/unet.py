"""UNet (Ronneberger et al. 2015, arXiv 1505.04597); other models change its parts."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from beadseg.models.blocks import Double, PlainBlock, drop_channels
from beadseg.models.norms import Norm
from beadseg.models.primitives import halve


class UNet(nn.Module):
    """Halves the image `depth` times and doubles it again, with skip connections.

    Level i has `width * 2**i` channels. Images of any size are padded at the bottom and
    the right to a multiple of `2**depth` by repeating the edge, and the result is cut.
    Parameters are f32, computation is in `dtype`, logits are f32.
    """

    width: int = 16
    depth: int = 4
    norm: str = "batch"
    heads: tuple[str, ...] = ("mask",)
    deep_supervision: bool = False
    dtype: jnp.dtype = jnp.float32
    block: Callable = PlainBlock
    gate: Callable | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        image: jax.Array,
        *,
        train: bool = False,
        dropout_rate: jax.Array | float = 0.0,
        dropout_keys: jax.Array | None = None,
    ) -> dict[str, jax.Array | tuple[jax.Array, ...]]:
        """Logits of every head, f32 [B, H, W, 1], from f32 [B, H, W, 1] of about 0..1.

        With `deep_supervision` also "deep": logits of the first head at [B, H/2, W/2,
        1], [B, H/4, W/4, 1] and so on (sizes rounded up).

        With `train`, the norm "batch" uses the statistics of the batch (spread over
        the devices of `axis_name`) and changes the collection "batch_stats", and with
        `dropout_keys` [B] channels are dropped in each decoder block at `dropout_rate`,
        which may be traced.
        """
        height, width = image.shape[1:3]
        norm = Norm(self.norm, train, self.axis_name)
        x = pad_to_multiple(image.astype(self.dtype), 2**self.depth)
        skips = []
        for i in range(self.depth):
            x = self._block(i, norm, f"encoder_{i}", stem=i == 0)(x)
            skips.append(x)
            x = halve(x)
        x = self._block(self.depth, norm, "bottom")(x)
        deep = []
        for i in reversed(range(self.depth)):
            skip = skips[i]
            if self.gate is not None:
                features = max(skip.shape[-1] // 2, 1)
                skip = self.gate(features, self.dtype, name=f"gate_{i}")(skip, x)
            x = Double(skip.shape[-1], self.dtype, name=f"double_{i}")(x)
            drop = None
            if train and dropout_keys is not None:
                drop = partial(
                    drop_channels, rate=dropout_rate, keys=dropout_keys, place=i
                )
            x = self._block(i, norm, f"decoder_{i}")(skip, x, drop=drop)
            if self.deep_supervision and i > 0:
                size = (-(-height // 2**i), -(-width // 2**i))
                deep.append(self._head(f"deep_{i}", x, size))
        outputs = {n: self._head(f"head_{n}", x, (height, width)) for n in self.heads}
        if self.deep_supervision:
            outputs["deep"] = tuple(reversed(deep))
        return outputs

    def _block(
        self, level: int, norm: Norm, name: str, stem: bool = False
    ) -> nn.Module:
        features = self.width * 2**level
        return self.block(features, norm, stem=stem, dtype=self.dtype, name=name)

    def _head(self, name: str, x: jax.Array, size: tuple[int, int]) -> jax.Array:
        x = x[:, : size[0], : size[1]].astype(jnp.float32)
        return nn.Dense(1, kernel_init=nn.initializers.normal(0.05), name=name)(x)


def pad_to_multiple(x: jax.Array, multiple: int) -> jax.Array:
    """Repeats the last row and column until both sizes are multiples."""
    rest = [(0, -size % multiple) for size in x.shape[1:3]]
    return jnp.pad(x, [(0, 0), *rest, (0, 0)], mode="edge")
