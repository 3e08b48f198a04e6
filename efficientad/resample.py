"""From the network's cells to the image's pixels, each cell at the place it looked at."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from efficientad.images import SIZE
from efficientad.nets import PAD_BEFORE, STRIDE

CENTRE = 16 - PAD_BEFORE  # index of the pixel at the centre of cell 0, of 256


def to_pixels(cells: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear: (64, 64) -> (H, W) float32, constant beyond the outermost cell centres.

    `F.interpolate(align_corners=False)` would shift the map, as it takes cell i to be centred on pixel 4i + 1.5.
    """
    rows, columns = (_weights(length, cells.shape[axis]) for axis, length in enumerate(shape))
    return (rows @ cells.float() @ columns.T).numpy()


def _weights(length: int, count: int) -> Tensor:
    """(length, count): how much each cell counts for each of `length` pixels."""
    pixel = (torch.arange(length, dtype=torch.float64) + 0.5) * SIZE / length - 0.5  # in pixels of 256
    place = ((pixel - CENTRE) / STRIDE).clamp(0, count - 1)
    before = place.floor().clamp(max=count - 2).long()
    part = place - before
    weights = torch.zeros(length, count, dtype=torch.float64)
    index = torch.arange(length)
    weights[index, before] = 1 - part
    weights[index, before + 1] = part
    return weights.float()
