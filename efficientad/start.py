"""Where a student starts on a CPU: not at random but as the teacher, narrowed to what good images look like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from efficientad.images import normalize
from efficientad.nets import CHANNELS, Conv, EfficientAD, extend

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
    """Random patches of the hidden map of every image, as rows in the order of a convolution's weights."""
    for image in images:
        hidden = trunk(extend(normalize(torch.from_numpy(image[None]).to(model.mean.device))))
        rows = F.unfold(hidden, taps)[0].T  # (64 * 64, D)
        chosen = torch.randperm(len(rows), generator=generator)[: max(1, CELLS // len(images))]
        yield rows[chosen.to(rows.device)]
