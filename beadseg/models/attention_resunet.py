"""Attention UNet with residual blocks (He et al. 2016; Zhang et al. 2018)."""

from beadseg.models.attention_unet import AttentionUNet
from beadseg.models.blocks import ResidualBlock


class AttentionResUNet(AttentionUNet, kw_only=True):
    """Attention UNet in which each block adds to a linear map of its input."""

    block = ResidualBlock
