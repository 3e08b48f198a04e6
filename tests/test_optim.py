import pytest
import torch
from torch import nn

from efficientad.optim import Optimizer, late_drop, orthogonalize, warm_cosine


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (32, 32)])
def test_orthogonalize_keeps_the_singular_vectors_and_levels_the_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    u, s, vh = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    result = orthogonalize(u @ torch.diag(torch.linspace(0.1, 1, len(s))) @ vh)
    torch.testing.assert_close(result, u @ vh, atol=0.06, rtol=0)


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_both_kinds_fit_a_small_convolution(kind: str) -> None:
    torch.manual_seed(0)
    net, x = nn.Conv2d(32, 8, 3), torch.randn(4, 32, 6, 6)
    target = nn.Conv2d(32, 8, 3)(x).detach()
    optimizer = Optimizer([(net, 1e-2)], kind=kind, steps=80, weight_decay=0.0)
    first = None
    for step in range(80):
        loss = (net(x) - target).square().mean()
        first = first or loss.item()
        loss.backward()
        optimizer.step(step)
    assert loss.item() < 0.1 * first


def test_schedules() -> None:
    assert [late_drop(s, 70_000) for s in (0, 66_499, 66_500)] == [1.0, 1.0, 0.1]
    assert warm_cosine(0, 1000) == 0.01
    assert warm_cosine(99, 1000) == warm_cosine(100, 1000) == 1.0
    assert warm_cosine(999, 1000) == pytest.approx(0.01, abs=1e-3)
