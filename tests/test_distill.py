import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from efficientad.backbones import Backbone, load_backbone
from efficientad.cache import FeatureCache, build_cache, view
from efficientad.checkpoint import save_teacher
from efficientad.distill import DistillConfig, distill, narrow, projection, widen
from efficientad.errors import InputError
from efficientad.nets import CHANNELS, pdn

TINY = DistillConfig(steps=3, batch=2, crop_cells=3, held_out=1)


class FakeClassifier(torch.nn.Module):
    """Two strided averages in the place of an ImageNet network."""

    feature_info = ({"reduction": 8, "num_chs": 3}, {"reduction": 16, "num_chs": 3})

    def forward_intermediates(
        self, x: torch.Tensor, indices: list[int], intermediates_only: bool
    ) -> list[torch.Tensor]:
        return [torch.nn.functional.avg_pool2d(x, self.feature_info[i]["reduction"]) for i in indices]


def cache(tmp_path: Path, progress: list[int] | None = None) -> FeatureCache:
    rng = np.random.default_rng(0)
    photos = []
    for i in range(4):
        photos.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)).save(photos[-1])
    backbone = Backbone(FakeClassifier(), (0.5,) * 3, (0.5,) * 3)
    report = (progress if progress is not None else []).append
    return build_cache(tmp_path / "cache", photos, backbone, "fake", 2, 42, lambda done, total: report(done))


def test_the_cache_holds_features_where_the_image_has_them_and_is_not_made_twice(tmp_path: Path) -> None:
    progress: list[int] = []
    found = cache(tmp_path, progress)
    assert found.images.shape == (2, 4, 256, 256, 3)
    assert found.features.shape == (2, 4, 64, 64, 6)
    assert progress == [8]
    blocks = (found.images[0, 2].reshape(64, 4, 64, 4, 3).mean((1, 3)) / 255 - 0.5) / 0.5
    assert np.abs(found.features[0, 2, ..., :3].astype(float) - blocks).mean() < 0.03
    cache(tmp_path, progress)
    assert progress == [8]


def test_views_are_reproducible_crops() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    assert np.array_equal(view(photo, 0, np.random.default_rng(1)), photo)
    first, second = (view(photo, 1, np.random.default_rng((42, 1, 7))) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.size < photo.size


def test_widening_keeps_lengths_and_narrowing_undoes_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = pdn("S", 6)
    wide = widen(net, 42)
    x = torch.randn(1, 3, 45, 45)
    narrow_output, wide_output = net(x), wide(x)
    assert wide_output.shape[1] == CHANNELS
    ratio = wide_output.square().mean() / narrow_output.square().mean()
    assert ratio.item() == pytest.approx(1, rel=1e-4)
    basis = projection(6, CHANNELS, 42)
    torch.testing.assert_close(basis.T @ basis, torch.eye(6) * CHANNELS / 6, atol=1e-4, rtol=0)
    save_teacher(wide, tmp_path / "teacher.safetensors", {"size": "S"})
    torch.testing.assert_close(narrow(tmp_path / "teacher.safetensors", TINY, 6)(x), narrow_output, atol=2e-3, rtol=0)


def test_a_broken_distillation_ends_with_the_same_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import efficientad.distill as module

    monkeypatch.setattr(module, "SAVE_STEPS", 1)
    monkeypatch.setattr(module, "LOG_STEPS", 1)
    data, cpu = cache(tmp_path), torch.device("cpu")
    unbroken = distill(data, TINY, tmp_path / "a.pt", cpu, lambda row: None)

    class KilledError(Exception):
        pass

    def dies(row: dict[str, float]) -> None:
        if row["step"] == 2:
            raise KilledError

    with pytest.raises(KilledError):
        distill(data, TINY, tmp_path / "b.pt", cpu, dies)
    seen: list[float] = []
    resumed = distill(data, TINY, tmp_path / "b.pt", cpu, lambda row: seen.append(row["step"]))
    assert seen == [3]
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(InputError, match="another configuration"):
        distill(data, dataclasses.replace(TINY, lr=0.5), tmp_path / "b.pt", cpu, dies)


def test_the_offline_backbone_is_a_trained_network() -> None:
    backbone = load_backbone()
    assert backbone.channels == 168
    y, x = np.mgrid[:256, :256]
    picture = np.stack([127 + 120 * np.sin(x / 9), 127 + 120 * np.cos(y / 7), (x + y) / 2], -1).astype(np.uint8)
    features = backbone(torch.from_numpy(picture[None]))
    assert features.shape == (1, 168, 32, 32)
    assert torch.isfinite(features).all()
    assert 0.1 < features.std() < 10


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(InputError, match="timm knows no backbone 'resnet5000'"):
        load_backbone("resnet5000")
