"""Winograd convolution for the PDN's 3x3 and 4x4 kernels, forwards and backwards, as batched matrix products.

A tile of 4x4 outputs costs 49 products per channel pair instead of 256 (4x4 kernel), or 36 instead of 144 (3x3).
CPU libraries ship Winograd for 3x3 kernels at most, and not for training; the PDN spends 90 % of its time in 4x4
kernels. Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices are Cook-Toom's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

TILE = 4  # outputs per side of a tile
CHUNK = 256  # tiles transformed at a time
# Interpolation points beside infinity. Small and symmetric keeps rounding errors small.
_POINTS = {3: (0.0, 1.0, -1.0, 2.0, -2.0), 4: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)}


@lru_cache
def _matrices(taps: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Cook-Toom: output = A.T @ ((G @ kernel) * (B.T @ data)), for TILE outputs of a correlation with `taps` taps."""
    points, size = _POINTS[taps], TILE + taps - 1

    def evaluate(length: int) -> NDArray[np.float64]:  # a polynomial of `length` coefficients at every point
        rows = [[p**power for power in range(length)] for p in points]
        return np.array([*rows, [0.0] * (length - 1) + [1.0]])

    # Linear convolution y = C^-1 ((E_taps k) * (E_tile d)); its transpose is the correlation we need.
    inverse = np.linalg.inv(evaluate(size))  # (size, size)
    # Scaling a row of G by s and the same column of B by 1/s leaves the result and balances the magnitudes.
    scale = np.abs(inverse).max(axis=0)
    return evaluate(TILE).T, evaluate(taps) * scale[:, None], (inverse / scale).T


@lru_cache
def _transforms(taps: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Two-dimensional transforms: output (16, p), kernel (p, taps^2), data (p, p), with p = (TILE + taps - 1)^2."""
    return tuple(torch.from_numpy(np.kron(m, m)).to(device, dtype) for m in _matrices(taps))  # type: ignore[return-value]


class _Winograd(torch.autograd.Function):
    """The convolution without bias, chunk by chunk so that the transformed tiles stay in the processor's cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        k, c, taps, _ = weight.shape
        n, height, width, _ = x.shape  # NHWC
        size = TILE + taps - 1
        rows, columns = (height - size) // TILE + 1, (width - size) // TILE + 1
        output, kernel, data = _transforms(taps, x.device, x.dtype)
        w = (kernel @ weight.permute(2, 3, 1, 0).reshape(taps * taps, c * k)).view(size * size, c, k)
        y = x.new_empty(n, rows, TILE, columns, TILE, k)
        needs_u = ctx.needs_input_grad[1]
        transformed: list[Tensor] = []
        for images, band in _chunks(n, rows, columns):
            tiles = _tiles(x, size, rows, columns)[:, :, images, band]  # (size, size, n', rows', columns, C)
            shape = tiles.shape[2:5]
            u = (data @ tiles.reshape(size * size, -1)).view(size * size, -1, c)  # (size^2, T, C)
            if needs_u:
                transformed.append(u)
            out = (output @ torch.bmm(u, w).flatten(1)).view(TILE, TILE, *shape, k)
            y[images, band] = out.permute(2, 3, 0, 4, 1, 5)
        ctx.save_for_backward(w, *transformed)
        ctx.shape, ctx.taps = x.shape, taps
        return y.view(n, rows * TILE, columns * TILE, k)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        w, *transformed = ctx.saved_tensors
        taps, c, k = ctx.taps, w.shape[1], w.shape[2]
        n, height, width, _ = ctx.shape
        size = TILE + taps - 1
        rows, columns = grad.shape[1] // TILE, grad.shape[2] // TILE
        output, kernel, data = _transforms(taps, w.device, w.dtype)
        grad = grad.reshape(n, rows, TILE, columns, TILE, k)
        grad_w = torch.zeros_like(w)
        grad_x = w.new_zeros(n, rows + 1, TILE, columns + 1, TILE, c)  # whole tiles, the overlap in the last ones
        wt = w.transpose(1, 2)
        for chunk, (images, band) in enumerate(_chunks(n, rows, columns)):
            g = grad[images, band]  # (n', rows', 4, columns, 4, K)
            shape = (len(g), g.shape[1], columns)
            m = (output.T @ g.permute(2, 4, 0, 1, 3, 5).reshape(TILE * TILE, -1)).view(
                size * size, -1, k
            )  # (size^2, T, K)
            if transformed:
                grad_w.baddbmm_(transformed[chunk].transpose(1, 2), m)
            t = (data.T @ torch.bmm(m, wt).flatten(1)).view(size, size, *shape, c)
            for i in (0, TILE):
                for j in (0, TILE):
                    part = t[i : i + TILE, j : j + TILE].permute(2, 3, 0, 4, 1, 5)  # (n', rows', <=4, columns, <=4, C)
                    below = slice(band.start + i // TILE, band.stop + i // TILE)
                    right = slice(j // TILE, j // TILE + columns)
                    grad_x[images, below, : part.shape[2], right, : part.shape[4]] += part
        grad_x = grad_x.view(n, (rows + 1) * TILE, (columns + 1) * TILE, c)[:, :height, :width]
        grad_weight = (kernel.T @ grad_w.view(size * size, c * k)).view(taps, taps, c, k).permute(3, 2, 0, 1)
        return grad_x, grad_weight


def _tiles(x: Tensor, size: int, rows: int, columns: int) -> Tensor:
    """A view of contiguous (N, H, W, C) as overlapping tiles, (size, size, N, rows, columns, C)."""
    n, _, _, c = x.shape
    sn, sh, sw, sc = x.stride()
    return x.as_strided((size, size, n, rows, columns, c), (sh, sw, sn, TILE * sh, TILE * sw, sc))


def _chunks(n: int, rows: int, columns: int) -> list[tuple[slice, slice]]:
    """(images, tile rows) of about CHUNK tiles each."""
    band = min(rows, max(1, CHUNK // columns))
    together = max(1, CHUNK // (rows * columns))
    return [
        (slice(i, min(n, i + together)), slice(r, min(rows, r + band)))
        for i in range(0, n, together)
        for r in range(0, rows, band)
    ]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.conv2d(x, weight, bias)` without padding or stride, for 3x3 and 4x4 kernels.

    Args:
        x: (N, C, H, W), channels_last is fastest.
        weight: (K, C, taps, taps) with taps 3 or 4.
        bias: (K,).

    Returns:
        (N, K, H - taps + 1, W - taps + 1), channels_last. It differs from the direct convolution by
        rounding, a few 1e-5 of its spread.
    """
    taps = weight.shape[-1]
    height, width = x.shape[2] - taps + 1, x.shape[3] - taps + 1
    nhwc = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, -width % TILE, 0, -height % TILE))
    y = _Winograd.apply(nhwc.contiguous(), weight)[:, :height, :width] + bias
    return y.permute(0, 3, 1, 2)
