"""The networks of beadseg.models in PyTorch, with the same weights: the bench's peer.

As a PyTorch user would write them: `torch.cat`, `ConvTranspose2d`, channels_last.
Parameters keep the tree of the flax model, so that they are copied by name.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from beadseg.models.norms import EPSILON, GROUP_SIZE, RELU_GAIN


class Convolution(nn.Module):
    def __init__(self, inputs, features, norm, size=3, relu=True):
        super().__init__()
        self.norm, self.size, self.relu = norm, size, relu
        self.kernel = nn.Parameter(torch.empty(features, inputs, size, size))
        self.bias = nn.Parameter(torch.empty(features))
        if norm != "none":
            self.gain = nn.Parameter(torch.empty(features))
        if norm == "batch":
            self.register_buffer("mean", torch.zeros(features))
            self.register_buffer("var", torch.ones(features))

    def forward(self, x):
        kernel, bias = self.kernel, self.bias
        if self.norm == "weight":
            kernel = kernel - kernel.mean((1, 2, 3), keepdim=True)
            squares = kernel.square().sum((1, 2, 3), keepdim=True)
            scale = torch.rsqrt(squares + EPSILON * kernel[0].numel()) * RELU_GAIN
            kernel = kernel * scale * self.gain.view(-1, 1, 1, 1)
        late = self.norm in ("batch", "channel", "group")
        x = F.conv2d(x, kernel, None if late else bias, padding=self.size // 2)
        if self.norm == "batch":
            statistics = (self.mean, self.var)
            scale = (self.gain, bias, self.training, 0.1, EPSILON)
            x = F.batch_norm(x, *statistics, *scale)
        elif self.norm == "channel":
            x = x.permute(0, 2, 3, 1)
            x = F.layer_norm(x, x.shape[-1:], self.gain, bias, EPSILON)
            x = x.permute(0, 3, 1, 2)
        elif self.norm == "group":
            groups = max(x.shape[1] // GROUP_SIZE, 1)
            x = F.group_norm(x, groups, self.gain, bias, EPSILON)
        return F.relu(x, inplace=True) if self.relu else x


class PlainBlock(nn.Module):
    def __init__(self, inputs, features, norm, stem=False):
        super().__init__()
        first = "none" if stem and norm != "batch" else norm
        self.conv_0 = Convolution(inputs, features, first)
        self.conv_1 = Convolution(features, features, norm)

    def forward(self, x, rate=0.0):
        return self.conv_1(F.dropout2d(self.conv_0(x), rate))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, features, norm, stem=False):
        super().__init__()
        first = "none" if stem and norm != "batch" else norm
        self.shortcut = Convolution(inputs, features, first, 1, relu=False)
        self.conv_0 = Convolution(inputs, features, first)
        self.conv_1 = Convolution(features, features, norm, relu=False)

    def forward(self, x, rate=0.0):
        y = self.conv_1(F.dropout2d(self.conv_0(x), rate))
        return F.relu(self.shortcut(x) + y, inplace=True)


class AttentionGate(nn.Module):
    def __init__(self, skip, below):
        super().__init__()
        features = max(skip // 2, 1)
        self.below = nn.Conv2d(below, features, 1)
        self.skip = nn.Conv2d(skip, features, 2, 2, bias=False)
        self.weights = nn.ConvTranspose2d(features, 1, 2, 2)

    def forward(self, skip, below):
        hidden = F.relu(self.below(below) + self.skip(skip))
        return skip * torch.sigmoid(self.weights(hidden))


class UNet(nn.Module):
    """Logits [B, 1, H, W] of the head "mask"; sizes must be multiples of 2**depth."""

    def __init__(self, name, width, depth, norm):
        super().__init__()
        block = ResidualBlock if name == "attention_resunet" else PlainBlock
        self.depth = depth
        for i in range(depth):
            below, here = width * 2 ** (i + 1), width * 2**i
            inputs = 1 if i == 0 else here // 2
            self.add_module(f"encoder_{i}", block(inputs, here, norm, stem=i == 0))
            self.add_module(f"double_{i}", nn.ConvTranspose2d(below, here, 2, 2))
            self.add_module(f"decoder_{i}", block(2 * here, here, norm))
            if name != "unet":
                self.add_module(f"gate_{i}", AttentionGate(here, below))
        self.bottom = block(width * 2 ** (depth - 1), width * 2**depth, norm)
        self.head_mask = nn.Conv2d(width, 1, 1)

    def forward(self, x, rate=0.0):
        parts, skips = dict(self.named_children()), []
        for i in range(self.depth):
            x = parts[f"encoder_{i}"](x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for i in reversed(range(self.depth)):
            skip = skips[i]
            if f"gate_{i}" in parts:
                skip = parts[f"gate_{i}"](skip, x)
            x = torch.cat([skip, parts[f"double_{i}"](x)], 1)
            x = parts[f"decoder_{i}"](x, rate)
        return self.head_mask(x)


def copy_parameters(parameters: Mapping, peer: UNet) -> UNet:
    """Copies flax `parameters` of the same network into the peer."""

    def tensor(array):
        return torch.tensor(np.asarray(array))

    with torch.no_grad():
        for path, module in peer.named_modules():
            source = parameters
            for key in filter(None, path.split(".")):
                source = source[key]
            if "kernel" not in source:
                continue
            kernel = tensor(source["kernel"])
            if isinstance(module, nn.ConvTranspose2d):
                kernel = kernel.reshape(len(kernel), 2, 2, -1).permute(0, 3, 1, 2)
            else:
                size = (
                    module.size
                    if isinstance(module, Convolution)
                    else module.kernel_size[0]
                )
                kernel = kernel.reshape(size, size, -1, kernel.shape[-1])
                kernel = kernel.permute(3, 2, 0, 1)
            if isinstance(module, Convolution):
                module.kernel.copy_(kernel)
                if module.norm != "none":
                    module.gain.copy_(tensor(source["gain"]))
            else:
                module.weight.copy_(kernel)
            if module.bias is not None:
                module.bias.copy_(tensor(source["bias"]))
    return peer.to(memory_format=torch.channels_last)


def dice_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over examples of beadseg.losses.dice with every pixel known."""
    from beadseg.losses import SMOOTHING

    probability = torch.sigmoid(logits)
    errors = (probability - mask).abs().sum((1, 2, 3)) / 2
    smoothing = 0.5 * SMOOTHING * math.prod(mask.shape[1:])
    return (errors / ((probability * mask).sum((1, 2, 3)) + errors + smoothing)).mean()
