"""The optimiser of distillation and training: Muon for the wide convolutions, AdamW for the rest; warm-up and cosine.

timm and torch have Muon too, but only with bfloat16 products, which are slow on a CPU without AMX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from efficientad.nets import CHANNELS

# Keller Jordan's quintic iteration with a coefficient triple a step, as in timm's "quintic" preset.
_COEFFICIENTS = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


def orthogonalize(matrix: Tensor) -> Tensor:
    """(m, n) -> (m, n) with the same singular vectors and every singular value near 1 (Newton-Schulz).

    Iterates on the Gram matrix of the shorter side, which for a convolution's (K, C * taps^2) costs a third of
    iterating on the matrix itself and gives the same result.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    x = matrix / matrix.norm().clamp_min(1e-12)
    gram = x @ x.T
    total = step = _quintic(gram, *_COEFFICIENTS[0])
    for coefficients in _COEFFICIENTS[1:]:
        gram = step @ gram @ step
        step = _quintic(gram, *coefficients)
        total = step @ total
    return total @ x


def _quintic(gram: Tensor, a: float, b: float, c: float) -> Tensor:
    """What one iteration multiplies the matrix by."""
    return a * torch.eye(len(gram), device=gram.device, dtype=gram.dtype) + b * gram + c * (gram @ gram)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised (Jordan et al., 2024), for weights of two and more dimensions.

    Updates are scaled to the size of AdamW's (Liu et al., arXiv 2502.16982), so both take the same learning rates.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, *, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                nesterov = p.grad.lerp(buffer, group["momentum"]).flatten(1)
                # The student's last layer holds two heads one above the other: two matrices.
                update = torch.cat([orthogonalize(head) for head in nesterov.split(CHANNELS)])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view_as(p), alpha=-group["lr"] * 0.2 * nesterov.shape[1] ** 0.5)


class Optimizer:
    """The paper's Adam with its one drop of the learning rate, or Muon with warm-up and cosine.

    "muon" leaves the first layers (fewer than 32 input channels) and the biases to AdamW.
    """

    def __init__(self, networks: list[tuple[nn.Module, float]], *, kind: str, steps: int, weight_decay: float) -> None:
        self.parts: list[torch.optim.Optimizer] = []
        self.rates: list[float] = []
        for network, lr in networks:
            params = list(network.parameters())
            wide = [p for p in params if p.ndim == 4 and p.shape[1] >= 32]
            if kind == "muon":
                narrow = [p for p in params if not (p.ndim == 4 and p.shape[1] >= 32)]
                self.parts += [Muon(wide, lr, weight_decay=weight_decay)]
                self.parts += [torch.optim.AdamW(narrow, lr, weight_decay=weight_decay)]
            else:
                self.parts += [torch.optim.Adam(params, lr, weight_decay=weight_decay)]
            self.rates += [lr] * (len(self.parts) - len(self.rates))
        self.schedule = warm_cosine if kind == "muon" else late_drop
        self.steps = steps

    def step(self, step: int) -> None:
        """Apply and clear the gradients of step 0, 1, ... with the learning rates that belong to it."""
        factor = self.schedule(step, self.steps)
        for part, rate in zip(self.parts, self.rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        for part, saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


def late_drop(step: int, steps: int) -> float:
    """The paper's: a tenth of the learning rate after 95 % of the steps."""
    return 0.1 if step >= int(0.95 * steps) else 1.0


def warm_cosine(step: int, steps: int) -> float:
    """Linear warm-up over 100 steps, then a cosine from 1 to 0.01."""
    warmup = min(100, max(1, steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
