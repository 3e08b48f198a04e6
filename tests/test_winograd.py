import pytest
import torch
import torch.nn.functional as F

from efficientad.winograd import conv2d


@pytest.mark.parametrize("taps", [3, 4])
@pytest.mark.parametrize("shape", [(1, 32, 4, 4), (3, 40, 21, 26), (2, 32, 5, 90)])
def test_forward_and_gradients_equal_the_direct_convolution(taps: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape).to(memory_format=torch.channels_last).requires_grad_()
    weight = (torch.randn(24, shape[1], taps, taps) / (shape[1] ** 0.5 * taps)).requires_grad_()
    bias = torch.randn(24, requires_grad=True)
    exact = F.conv2d(x.double(), weight.double(), bias.double())
    found = conv2d(x, weight, bias)
    assert found.shape == exact.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), exact, atol=5e-5, rtol=0)
    grad = torch.randn_like(found)
    expected = torch.autograd.grad(exact, (x, weight, bias), grad.double())
    for ours, theirs in zip(torch.autograd.grad(found, (x, weight, bias), grad), expected, strict=True):
        torch.testing.assert_close(ours, theirs.float(), atol=1e-4 * float(theirs.std()), rtol=1e-4)


def test_gradient_of_the_input_alone() -> None:
    x = torch.randn(1, 32, 9, 9, requires_grad=True)
    weight, bias = torch.randn(8, 32, 4, 4), torch.zeros(8)
    ours = torch.autograd.grad(conv2d(x, weight, bias).sum(), x)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(F.conv2d(x, weight).sum(), x)[0], atol=1e-3, rtol=1e-3)
