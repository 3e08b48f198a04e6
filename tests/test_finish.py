import numpy as np
import torch

from efficientad.finish import fit_logical_head
from efficientad.images import normalize
from efficientad.nets import CHANNELS, EfficientAD, extend

from .conftest import dots


def disagreement(model: EfficientAD, image: np.ndarray) -> float:
    with torch.inference_mode():
        return model(normalize(torch.from_numpy(image[None]))).logical.mean().item()


def test_the_fitted_head_predicts_the_autoencoder_on_fresh_good_images() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = EfficientAD("S").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = dots(rng, 256)
    untrained = disagreement(model, fresh)
    fit_logical_head(model, [dots(rng, 256) for _ in range(4)], 500, torch.Generator().manual_seed(0))
    assert disagreement(model, fresh) < 0.05 * untrained
    for name, value in model.state_dict().items():
        same = value[:CHANNELS] if name.startswith("student.8.") else value
        assert torch.equal(same, before[name][:CHANNELS] if name.startswith("student.8.") else before[name]), name


def test_a_constant_autoencoder_becomes_the_bias() -> None:
    torch.manual_seed(0)
    model = EfficientAD("S").eval()
    torch.nn.init.zeros_(model.autoencoder.out.weight)
    wanted = torch.linspace(-1, 1, CHANNELS)
    model.autoencoder.out.bias.data.copy_(wanted)
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    fit_logical_head(model, [image], 4096, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = model.student(extend(normalize(torch.from_numpy(image[None]))))[0, CHANNELS:]
    torch.testing.assert_close(found, wanted[:, None, None].expand_as(found), atol=5e-3, rtol=0)
