"""UNet (Ronneberger et al. 2015, arXiv 1505.04597); other models change its parts."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from beadseg.errors import BeadsegError
from beadseg.models.blocks import PlainBlock, UpConv, drop_channels
from beadseg.models.network import Network
from beadseg.models.norms import NORMS, Norm
from beadseg.models.primitives import max_pool

DEEPEST = 10  # halvings: of 1024 px a pixel is left
WIDEST = 2**15  # channels at the bottom


class UNet(Network, kw_only=True):
    """Pools the image `depth` times and enlarges it again, with skip connections.

    Level i has `width * 2**i` channels. Images of any size are padded at the bottom and
    the right to a multiple of `2**depth` by repeating the edge, and the result is cut.
    Parameters are f32, computation is in `dtype`, logits are f32.
    """

    width: int
    depth: int
    norm: str
    deep_supervision: bool

    block = PlainBlock
    gate: ClassVar[Callable | None] = None
    stand_in = {"depth": 1}

    @property
    def receptive_field(self) -> int | None:
        """See `Network`; the norm "group" looks at the whole image.

        Each level has two 3x3 convolutions on the way down and two on the way up, of
        2**level pixels; the bottom has two. To that comes what pooling spans beyond
        them, which depends on where the pixel lies on the pooling grid: at most
        2**depth - 1.
        """
        return None if self.norm == "group" else self.margin - 2 + self.stride - 1

    @property
    def stride(self) -> int:
        """Pixels of the pooling grid."""
        return 2**self.depth

    @property
    def margin(self) -> int:
        """See `Network`; without what pooling spans."""
        return sum(4 * 2**level for level in range(self.depth)) + 2 * self.stride + 2

    @property
    def fits_any_window(self) -> bool:
        return self.norm != "group"

    def check(self) -> None:
        super().check()
        width, depth = self.width, self.depth
        sizes = f"model.width = {width}, model.depth = {depth}"
        if self.norm not in NORMS:
            raise BeadsegError(
                f"model.norm: {self.norm!r} is unknown; known are {', '.join(NORMS)}"
            )
        if not all(type(number) is int and number >= 1 for number in (width, depth)):
            raise BeadsegError(f"{sizes}: both must be whole numbers of at least 1")
        if depth > DEEPEST or width << depth > WIDEST:
            raise BeadsegError(
                f"{sizes}: no device holds such a network; depth goes to {DEEPEST}, "
                f"and width * 2**depth to {WIDEST}"
            )

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
            x = max_pool(x)
        x = self._block(self.depth, norm, "bottom")(x)
        deep = []
        for i in reversed(range(self.depth)):
            skip = skips[i]
            if self.gate is not None:
                features = max(skip.shape[-1] // 2, 1)
                skip = self.gate(features, self.dtype, name=f"gate_{i}")(skip, x)
            x = UpConv(skip.shape[-1], self.dtype, name=f"double_{i}")(x)
            drop = None
            if train and dropout_keys is not None:
                drop = partial(
                    drop_channels, rate=dropout_rate, keys=dropout_keys, place=i
                )
            x = self._block(i, norm, f"decoder_{i}")(skip, x, drop=drop)
            if self.deep_supervision and i > 0:
                size = (-(-height // 2**i), -(-width // 2**i))
                deep.append(self.head(str(i), x[:, : size[0], : size[1]], "deep"))
        x = x[:, :height, :width]
        outputs = {name: self.head(name, x) for name in self.heads}
        if self.deep_supervision:
            outputs["deep"] = tuple(reversed(deep))
        return outputs

    def _block(
        self, level: int, norm: Norm, name: str, stem: bool = False
    ) -> nn.Module:
        features = self.width * 2**level
        return self.block(features, norm, stem=stem, dtype=self.dtype, name=name)


def pad_to_multiple(x: jax.Array, multiple: int) -> jax.Array:
    """Repeats the last row and column until both sizes are multiples."""
    rest = [(0, -size % multiple) for size in x.shape[1:3]]
    return jnp.pad(x, [(0, 0), *rest, (0, 0)], mode="edge")
