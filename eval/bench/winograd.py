"""Winograd against direct convolution in the PDN, interleaved in one run: python -m eval.bench.winograd"""

from __future__ import annotations

import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from efficientad import nets

ROUNDS = 9


def direct(x: Tensor, weight: Tensor, bias: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """What `nets.convolve` does where Winograd does not suit."""
    return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def compare(name: str, work: Callable[[], object]) -> None:
    """Print the median milliseconds of both and the median of their ratios."""
    times: dict[str, list[float]] = {"winograd": [], "direct": []}
    for _ in range(ROUNDS + 1):
        for kind, convolve in (("winograd", nets.convolve), ("direct", direct)):
            with patch.object(nets, "convolve", convolve):
                start = time.perf_counter()
                work()
                times[kind].append(1000 * (time.perf_counter() - start))
    winograd, plain = (np.array(times[kind][1:]) for kind in ("winograd", "direct"))  # the first round warms up
    print(
        f"{name}: direct {np.median(plain):.0f} ms, winograd {np.median(winograd):.0f} ms, "
        f"ratio {np.median(plain / winograd):.2f}"
    )


def main() -> None:
    torch.manual_seed(0)
    model = nets.EfficientAD("S").to(memory_format=torch.channels_last)
    crops = torch.randn(8, 3, 93, 93).to(memory_format=torch.channels_last)
    image = torch.randn(1, 3, 256, 256).to(memory_format=torch.channels_last)
    model.eval()

    def train() -> None:
        model.student(crops).square().mean().backward()

    def infer() -> None:
        with torch.inference_mode():
            model(image)

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, PDN-S, float32, channels_last")
    compare("student, forwards and backwards, eight crops of 16x16 cells", train)
    compare("all three networks, forwards, one 256x256 image", infer)
    with torch.inference_mode():
        found = model(image).structural
        with patch.object(nets, "convolve", direct):
            expected = model(image).structural
    print(f"largest relative difference of the structural map: {((found - expected).abs() / expected).max():.1e}")


if __name__ == "__main__":
    main()
