"""The three networks of EfficientAD and their two disagreements (paper, section 3 and appendix A.1). Pure torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efficientad import winograd
from efficientad.domain import summarise

CHANNELS = 384  # of the teacher's output
CONTEXT = 33  # receptive field of a PDN, in pixels
STRIDE = 4
# Extends an image so that the map has a cell for every 4x4 block, centred on it to half a pixel: cell i of an
# unpadded PDN looks at pixel 16 + 4i, with 14 pixels added before it at pixel 4i + 2.
PAD_BEFORE, PAD_AFTER = 14, 15

Size = Literal["S", "M"]


def convolve(x: Tensor, weight: Tensor, bias: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """`F.conv2d`, by Winograd's algorithm where that is faster: on a CPU, 3x3 and 4x4 kernels on wide inputs."""
    suits = weight.shape[-1] in (3, 4) and weight.shape[1] >= 32 and stride == 1
    if suits and x.device.type == "cpu" and x.dtype == torch.float32:
        return winograd.conv2d(F.pad(x, (padding,) * 4) if padding else x, weight, bias)
    return F.conv2d(x, weight, bias, stride=stride, padding=padding)


class Conv(nn.Conv2d):
    """A square convolution with bias that runs through `convolve`."""

    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, stride=self.stride[0], padding=int(self.padding[0]))


def pdn(size: Size, out_channels: int) -> nn.Sequential:
    """Patch description network, table 6 (S) or 7 (M): receptive field 33x33, stride 4.

    (N, 3, H, W) -> (N, out_channels, H/4 - 8, W/4 - 8).
    """
    if size == "S":
        return nn.Sequential(
            Conv(3, 128, 4),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2, 2),
            Conv(128, 256, 4),
            nn.ReLU(inplace=True),
            nn.AvgPool2d(2, 2),
            Conv(256, 256, 3),
            nn.ReLU(inplace=True),
            Conv(256, out_channels, 4),
        )
    return nn.Sequential(
        Conv(3, 256, 4),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2, 2),
        Conv(256, 512, 4),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2, 2),
        Conv(512, 512, 1),
        nn.ReLU(inplace=True),
        Conv(512, 512, 3),
        nn.ReLU(inplace=True),
        Conv(512, out_channels, 4),
        nn.ReLU(inplace=True),
        Conv(out_channels, out_channels, 1),
    )


class Autoencoder(nn.Module):
    """The bottleneck of 64 numbers that knows how the whole image goes together (paper, table 8)."""

    SIZES = (3, 8, 15, 32, 63, 127)  # the decoder's resize steps

    def __init__(self, grid: int = 64) -> None:
        super().__init__()
        self.grid = grid
        widths = (3, 32, 32, 64, 64, 64)
        encoder: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            encoder += [Conv(before, after, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*encoder, Conv(64, 64, 8))
        self.decoder = nn.ModuleList(Conv(64, 64, 4, padding=2) for _ in self.SIZES)
        self.smooth = Conv(64, 64, 3, padding=1)
        self.out = Conv(64, CHANNELS, 3, padding=1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 256, 256) -> (N, 384, grid, grid)."""
        x = self.encoder(x)  # (N, 64, 1, 1)
        for size, conv in zip(self.SIZES, self.decoder, strict=True):
            x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
            x = self.dropout(F.relu(conv(x)))
        x = F.interpolate(x, size=(self.grid, self.grid), mode="bilinear", align_corners=False)
        return self.out(F.relu(self.smooth(x)))


def extend(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H + 29, W + 29) by reflection: a PDN then gives one cell for every 4x4 block."""
    return F.pad(x, (PAD_BEFORE, PAD_AFTER, PAD_BEFORE, PAD_AFTER), mode="reflect")


@dataclass(frozen=True)
class Maps:
    """What the networks make of N images.

    Attributes:
        structural, logical: squared disagreement, (N, 64, 64); cell (i, j) is centred on pixel (4i + 2, 4j + 2) of
            256x256.
        summary: (N, 768), of the teacher's raw output; `domain.py` compares it with those of good images.
    """

    structural: Tensor
    logical: Tensor
    summary: Tensor


class EfficientAD(nn.Module):
    """Teacher, student and autoencoder (paper, Algorithm 2, up to the quantile normalisation)."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: Size = "S") -> None:
        super().__init__()
        self.size = size
        self.teacher = pdn(size, CHANNELS).requires_grad_(False)
        self.student = pdn(size, 2 * CHANNELS)
        self.autoencoder = Autoencoder()
        self.register_buffer("mean", torch.zeros(1, CHANNELS, 1, 1))  # of the teacher's channels
        self.register_buffer("std", torch.ones(1, CHANNELS, 1, 1))

    def describe(self, extended: Tensor) -> Tensor:
        """The teacher's normalised output: (N, 3, H, W) -> (N, 384, H/4 - 8, W/4 - 8)."""
        return (self.teacher(extended) - self.mean) / self.std

    def forward(self, x: Tensor) -> Maps:
        """(N, 3, 256, 256) normalised -> structural and logical maps, before calibration."""
        extended = extend(x).contiguous(memory_format=torch.channels_last)
        described = self.teacher(extended)  # (N, 384, 64, 64)
        teacher = (described - self.mean) / self.std
        student = self.student(extended)  # (N, 768, 64, 64)
        structural = (teacher - student[:, :CHANNELS]).square().mean(dim=1)
        logical = (self.autoencoder(x) - student[:, CHANNELS:]).square().mean(dim=1)
        return Maps(structural, logical, summarise(described))
