"""How training on a CPU ends: the student's logical head is fitted to the finished autoencoder in one least squares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from efficientad.images import normalize
from efficientad.nets import CHANNELS, Conv, EfficientAD
from efficientad.start import GRID, patches

ROWS = 4096  # patches between two updates of the moments, which are large
RIDGE = 0.1  # added to the second moments of the inputs, as a share of their mean


def fit_logical_head(
    model: EfficientAD, images: Iterable[NDArray[np.uint8]], each: int, generator: torch.Generator
) -> None:
    """Set the student's logical half to the ridge regression of the autoencoder's output.

    The student's last layer is linear in patches of its hidden map, so that the best logical head behind the layers
    before it is known in closed form: what the logical loss of Algorithm 1 approaches step by step. In a short
    training the head lags behind the autoencoder, and what it has not learned yet looks like an anomaly everywhere.

    Args:
        model: trained, in evaluation mode.
        images: (256, 256, 3) uint8 each, good training images.
        each: how many patches to draw from every image; of all together many times the numbers in one patch, 4,096
            (S) or 768 (M).
    """
    trunk, head = model.student[:-1], model.student[-1]
    assert isinstance(head, Conv)
    taps, device = head.kernel_size[0], model.mean.device
    size = head.weight[0].numel() + 1  # and the bias
    moments = torch.zeros(size, size, device=device)
    products = torch.zeros(size, CHANNELS, device=device)
    with torch.no_grad():
        for several in _batched(images, max(1, ROWS // each)):
            inputs, targets = [], []
            for image in several:
                x = normalize(torch.from_numpy(image[None]).to(device))
                cells = torch.randperm(GRID * GRID, generator=generator)[:each].to(device)
                inputs.append(F.pad(patches(trunk, taps, x, cells), (0, 1), value=1.0))  # (each, D + 1)
                targets.append(model.autoencoder(x)[0].flatten(1)[:, cells].T)  # (each, 384)
            rows = torch.cat(inputs)
            moments.addmm_(rows.T, rows)
            products.addmm_(rows.T, torch.cat(targets))
        penalty = RIDGE * moments.diagonal()[:-1].mean().repeat(size)
        penalty[-1] = 0  # the bias is free
        solution = torch.linalg.solve((moments + penalty.diag()).double(), products.double()).float()
        head.weight[CHANNELS:].copy_(solution[:-1].T.view_as(head.weight[CHANNELS:]))
        head.bias[CHANNELS:].copy_(solution[-1])


def _batched(images: Iterable[NDArray[np.uint8]], together: int) -> Iterator[list[NDArray[np.uint8]]]:
    rest = iter(images)
    while several := list(islice(rest, together)):
        yield several
