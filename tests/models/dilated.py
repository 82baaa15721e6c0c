"""A model that is no U-Net: dilated convolutions at full size (Yu and Koltun 2016)."""

import jax
from flax import linen as nn

from beadseg.models.network import Network


class Dilated(Network, kw_only=True):
    """Three 3x3 convolutions, 1, 2 and 4 pixels apart."""

    width: int
    dilations: tuple[int, ...] = (1, 2, 4)

    @property
    def receptive_field(self) -> int:
        return sum(self.dilations)

    @nn.compact
    def __call__(
        self, image, *, train=False, dropout_rate=0.0, dropout_keys=None
    ) -> dict[str, jax.Array]:
        x = image.astype(self.dtype)
        for apart in self.dilations:
            layer = nn.Conv(self.width, (3, 3), kernel_dilation=apart, dtype=self.dtype)
            x = nn.relu(layer(x))
        return {name: self.head(name, x) for name in self.heads}
