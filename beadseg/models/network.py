"""What every model declares of itself, beside its layers."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from beadseg.errors import BeadsegError

FAR = 64  # px by which tiles overlap where all of an image counts


class Network(nn.Module, kw_only=True):
    """The base of all models: from an image to the logits of each head.

    A field is a setting of `config.model` of the same name, in `configs/base.py`. One
    with a default may be missing from the config of a run: the default is then what
    runs had before there was the setting.

    A model defines `__call__(image, *, train=False, dropout_rate=0.0,
    dropout_keys=None)`: f32[B, H, W, 1] of any H and W to a dict of `self.head(name,
    x)` for each of `self.heads`, f32[B, H, W, 1]; see `beadseg.models.unet.UNet`.
    Weights named "kernel" decay. It declares its `receptive_field`, and what differs
    from the attributes below.
    """

    heads: tuple[str, ...]
    dtype: jnp.dtype = jnp.float32  # of the computation; parameters are f32
    axis_name: str | None = None  # of the devices that share a batch

    known_heads = ("mask", "distance")
    # Settings of a smaller network, whose speed stands for that of the whole.
    stand_in = {}

    @property
    def receptive_field(self) -> int | None:
        """Radius in pixels: what is further away (in x or y) changes no logit.

        None: all of the image counts, and prediction in tiles is not exact.
        """
        raise NotImplementedError

    @property
    def stride(self) -> int:
        """Pixels of the grid on which tiles must begin to be looked at alike."""
        return 1

    @property
    def margin(self) -> int:
        """Pixels by which tiles that begin and end on the grid must overlap."""
        return FAR if self.receptive_field is None else self.receptive_field

    @property
    def fits_any_window(self) -> bool:
        """Whether `extent.apply_within` makes an image's end anywhere in a window.

        It does where `blocks.Convolution` alone looks at neighbours. Otherwise a
        program is compiled for each size of an image.
        """
        return False

    def check(self) -> None:
        """Raises BeadsegError for settings that make no network."""
        heads, more = self.heads, self.known_heads[1:]
        different = len({*heads}) == len(heads) and {*heads[1:]} <= {*more}
        if heads[:1] != ("mask",) or not different:
            raise BeadsegError(
                f"model.heads: {heads!r} must be different names: mask, then any of "
                f"{', '.join(more) or 'none'}"
            )

    def head(self, name: str, x: jax.Array, kind: str = "head") -> jax.Array:
        """Logits f32[B, H, W, 1] of a head, from [B, H, W, C]."""
        initial = nn.initializers.normal(0.05)
        dense = nn.Dense(1, kernel_init=initial, name=f"{kind}_{name}")
        return dense(x.astype(jnp.float32))
