"""UNet with attention gates on its skip connections (Oktay et al. 2018)."""

from beadseg.models.blocks import AttentionGate
from beadseg.models.unet import UNet


class AttentionUNet(UNet, kw_only=True):
    """UNet whose decoder chooses, pixel by pixel, what it takes from the encoder."""

    gate = AttentionGate
