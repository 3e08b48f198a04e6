"""Where a student starts on a CPU: not at random but as the teacher, narrowed to what good images look like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from efficientad.images import SIZE, normalize
from efficientad.nets import CHANNELS, STRIDE, Conv, EfficientAD, extend

GRID = SIZE // STRIDE
CELLS = 40_000  # from all images together: ten times the 4,096 dimensions of a patch


def start_principal(model: EfficientAD, images: NDArray[np.uint8], rank: int, generator: torch.Generator) -> None:
    """Set the student's structural half to the teacher behind a projection on `rank` principal components.

    The teacher's last layer is linear in 4x4 patches of its hidden map. The student gets the same layers, but its
    last one first projects a patch on the affine subspace in which the good images' patches vary most. So it
    starts by predicting the teacher on good images and failing on what leaves that subspace, which is the state that
    Algorithm 1 works towards from random weights. The logical half starts at random.

    Args:
        model: its teacher and channel statistics are set.
        images: (N, 256, 256, 3) uint8 good training images.
        rank: number of principal components, of at most 4,096 (S) or 8,192 (M).
    """
    trunk = model.teacher[:-1]
    last = model.teacher[-1]
    assert isinstance(last, Conv)
    model.student[:-1].load_state_dict(trunk.state_dict())
    patches = torch.cat(list(_patches(trunk, last.kernel_size[0], images, model, generator)))  # (cells, D)
    mean = patches.mean(dim=0)
    patches -= mean
    basis = torch.linalg.eigh(patches.T @ patches)[1][:, -rank:]  # (D, rank), the largest eigenvalues come last

    weight = last.weight.flatten(1) / model.std.flatten()[:, None]  # (384, D), of the standardised teacher
    bias = (last.bias - model.mean.flatten()) / model.std.flatten()
    narrowed = (weight @ basis) @ basis.T
    head = model.student[-1]
    assert isinstance(head, Conv)
    with torch.no_grad():
        head.weight[:CHANNELS].copy_(narrowed.view_as(last.weight))
        head.bias[:CHANNELS].copy_(bias + (weight - narrowed) @ mean)


@torch.no_grad()
def _patches(
    trunk: torch.nn.Sequential, taps: int, images: NDArray[np.uint8], model: EfficientAD, generator: torch.Generator
) -> Iterator[Tensor]:
    """Random patches of the hidden map of every image."""
    for image in images:
        chosen = torch.randperm(GRID * GRID, generator=generator)[: max(1, CELLS // len(images))]
        yield patches(trunk, taps, normalize(torch.from_numpy(image[None]).to(model.mean.device)), chosen)


def patches(trunk: torch.nn.Sequential, taps: int, x: Tensor, cells: Tensor) -> Tensor:
    """What a PDN's last layer, with `taps` x `taps` taps, sees of one image behind the other layers, its `trunk`.

    Args:
        x: (1, 3, 256, 256), normalised.
        cells: (n,) numbers of the map's cells, row by row.

    Returns:
        (n, D), in the order of a convolution's weights.
    """
    hidden = trunk(extend(x).contiguous(memory_format=torch.channels_last))[0]
    windows = hidden.unfold(1, taps, 1).unfold(2, taps, 1)  # (C, 64, 64, taps, taps), a view
    cells = cells.to(x.device)
    return windows[:, cells // GRID, cells % GRID].transpose(0, 1).flatten(1)
