import numpy as np
import pytest
import torch

from efficientad import start
from efficientad.images import normalize
from efficientad.nets import CHANNELS, EfficientAD, extend
from efficientad.start import start_principal

from .conftest import dots


def test_the_student_starts_right_on_good_images_and_wrong_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "CELLS", 600)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = EfficientAD("S").eval()
    good = np.stack([dots(rng, 256) for _ in range(3)])

    def views(image: np.ndarray) -> torch.Tensor:
        return extend(normalize(torch.from_numpy(image[None])))

    with torch.inference_mode():
        outputs = model.teacher(views(good[0]))
        model.mean.copy_(outputs.mean((0, 2, 3), keepdim=True))
        model.std.copy_(outputs.std((0, 2, 3), keepdim=True))
    logical = model.student[-1].weight[CHANNELS:].clone()  # type: ignore[index, union-attr]
    start_principal(model, good, 200, torch.Generator().manual_seed(0))
    assert torch.equal(model.student[-1].weight[CHANNELS:], logical)  # type: ignore[index, union-attr]

    def error(image: np.ndarray) -> float:
        with torch.inference_mode():
            difference = model.describe(views(image)) - model.student(views(image))[:, :CHANNELS]
        return difference.square().mean().item()

    strange = dots(rng, 256)
    strange[60:140, 60:140] = rng.integers(0, 256, (80, 80, 3))
    fresh = error(dots(rng, 256))
    assert fresh < 0.5
    assert error(strange) > 2 * fresh


def test_with_every_component_the_student_is_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "CELLS", 600)
    rng = np.random.default_rng(0)
    model = EfficientAD("S").eval()
    model.mean.fill_(0.3)
    model.std.fill_(2.0)
    image = rng.integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    start_principal(model, image, 4096, torch.Generator().manual_seed(0))
    x = extend(normalize(torch.from_numpy(image)))
    with torch.inference_mode():
        torch.testing.assert_close(model.student(x)[:, :CHANNELS], model.describe(x), atol=1e-3, rtol=1e-3)
