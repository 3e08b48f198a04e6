import numpy as np
import pytest
import torch

from efficientad.nets import CHANNELS, CONTEXT, STRIDE, Autoencoder, Conv, EfficientAD, extend, pdn
from efficientad.resample import to_pixels


@pytest.mark.parametrize(("size", "teacher", "student"), [("S", 2_694_144, 4_267_392), ("M", 8_026_624, 11_615_488)])
def test_parameter_counts_are_the_papers(size: str, teacher: int, student: int) -> None:
    model = EfficientAD(size)  # type: ignore[arg-type]
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.teacher, model.student, model.autoencoder)]
    assert counts == [teacher, student, 1_096_320]


@pytest.mark.parametrize("size", ["S", "M"])
def test_receptive_field_and_stride(size: str) -> None:
    net = pdn(size, 8)  # type: ignore[arg-type]
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, 0.01)  # positive, so that no ReLU hides a path
    x = torch.rand(1, 3, 81, 81, requires_grad=True)
    y = net(x)
    assert y.shape == (1, 8, (81 - CONTEXT) // STRIDE + 1, (81 - CONTEXT) // STRIDE + 1)
    reach = torch.autograd.grad(y[0, 0, 5, 2], x)[0][0].abs().sum(0)
    seen = reach > 1e-4 * reach.max()  # Winograd's sums cancel up to rounding beyond the field
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    assert (rows[0].item(), rows[-1].item()) == (5 * STRIDE, 5 * STRIDE + CONTEXT - 1)
    assert (columns[0].item(), columns[-1].item()) == (2 * STRIDE, 2 * STRIDE + CONTEXT - 1)


def test_maps_cover_the_image_and_a_256_image_without_extension_has_56_cells() -> None:
    model = EfficientAD("S").eval()
    x = torch.randn(2, 3, 256, 256)
    with torch.inference_mode():
        maps = model(x)
        assert maps.structural.shape == maps.logical.shape == (2, 64, 64)
        assert model.teacher(x).shape == (2, CHANNELS, 56, 56)
        assert model.student(extend(x)).shape == (2, 2 * CHANNELS, 64, 64)


def test_autoencoder_sees_the_image_through_64_numbers() -> None:
    net = Autoencoder().eval()
    x = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        assert net.encoder(x).shape == (1, 64, 1, 1)
        assert net(x).shape == (1, CHANNELS, 64, 64)


PLACES = [0, 1, 5, 13, 97, 128, 131, 200, 250, 254, 255]


@pytest.mark.parametrize("y", [0, 13, 128, 200, 255])
@pytest.mark.parametrize("x", PLACES)
def test_a_defect_of_one_pixel_peaks_where_it_is(y: int, x: int) -> None:
    """The response to an impulse, corners included, lies within two pixels of it.

    The kernels keep their middle taps only: a wider one near the border would see the reflected impulse as well.
    """
    net = pdn("S", 1)
    for layer in net:
        if isinstance(layer, Conv):
            bump = torch.tensor([0, 1, 0.0] if layer.kernel_size[0] == 3 else [0, 0.5, 0.5, 0])
            layer.weight.data = (bump[:, None] * bump).expand_as(layer.weight).clone()
            layer.bias.data.zero_()
    image = torch.zeros(1, 3, 256, 256)
    image[..., y, x] = 1
    with torch.inference_mode():
        full = to_pixels(net(extend(image))[0, 0], (256, 256))
    rows, columns = np.nonzero(full >= full.max() * (1 - 1e-5))
    assert abs(rows - y).min() <= 2
    assert abs(columns - x).min() <= 2
    assert abs(rows.mean() - y) <= 2.5
    assert abs(columns.mean() - x) <= 2.5


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (256, 256), (1024, 700)])
def test_to_pixels_has_the_images_shape_and_keeps_a_ramp(shape: tuple[int, int]) -> None:
    ramp = torch.arange(64.0).expand(64, 64)
    full = to_pixels(ramp, shape)
    assert full.shape == shape
    assert full.dtype == np.float32
    centres = (np.arange(shape[1]) + 0.5) * 256 / shape[1] - 0.5
    np.testing.assert_allclose(full[0], np.clip((centres - 2) / 4, 0, 63), atol=1e-4)
