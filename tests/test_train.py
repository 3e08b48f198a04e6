import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from efficientad.config import CPU, TrainConfig, load_config, make_config
from efficientad.errors import InputError
from efficientad.images import normalize
from efficientad.nets import CHANNELS, EfficientAD, extend
from efficientad.pipeline import initialise
from efficientad.samples import GoodImages, PenaltyImages, crop, draw
from efficientad.train import hard_loss, losses, steps_for, train

from .conftest import TINY, TinyWorld


@pytest.mark.parametrize("count", [1, 7, 1000, 4321, 56 * 56 * 384])
def test_hard_loss_against_the_quantile(count: int) -> None:
    distance = torch.rand(count, generator=torch.Generator().manual_seed(count))
    threshold = np.quantile(distance.double().numpy(), 0.999)
    brute = distance.double()[distance.double() >= threshold - 1e-12].mean()
    assert hard_loss(distance, 0.999).item() == pytest.approx(brute.item(), rel=1e-6)
    assert hard_loss(distance, 0.0).item() == pytest.approx(distance.mean().item(), rel=1e-5)


def test_the_papers_hard_loss_keeps_1205_elements() -> None:
    distance = torch.zeros(56 * 56 * 384)
    distance[:1205] = 1
    assert hard_loss(distance, 0.999).item() == 1
    distance[1204] = 0
    assert hard_loss(distance, 0.999).item() < 1


@pytest.mark.parametrize("row", [0, 7, 54])
@pytest.mark.parametrize("column", [0, 31, 54])
def test_a_crop_gives_the_cells_of_the_whole_image(row: int, column: int) -> None:
    model = EfficientAD("S").eval()
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    with torch.inference_mode():
        whole = model.teacher(extend(normalize(torch.from_numpy(image[None]))))
        part = model.teacher(normalize(torch.from_numpy(crop(image, row, column, 10)[None])))
    torch.testing.assert_close(part, whole[:, :, row : row + 10, column : column + 10], atol=1e-4, rtol=1e-3)


def world(config: TrainConfig, cached: bool) -> tuple[EfficientAD, GoodImages, PenaltyImages]:
    rng = np.random.default_rng(0)
    model = EfficientAD("S")
    views = rng.integers(0, 256, (2 if cached else 1, 3, 256, 256, 3), dtype=np.uint8)
    initialise(model, views[0], config)
    teacher = rng.normal(size=(2, 3, 64, 64, CHANNELS)).astype(np.float16) if cached else None
    return model, GoodImages(views, teacher, model), PenaltyImages(views[0])


def reference_losses(model: EfficientAD, good: GoodImages, batch: object) -> dict[str, torch.Tensor]:
    """Algorithm 1 written down naively: every network whole, slices afterwards."""
    b: object = batch
    student = model.student(b.crops)  # type: ignore[attr-defined]
    rebuilt = model.autoencoder(b.whole)  # type: ignore[attr-defined]
    distance = (b.crop_teacher - student[:, :CHANNELS]).square()[b.for_structure].flatten()  # type: ignore[attr-defined]
    logic = student[:, CHANNELS:][b.for_logic]  # type: ignore[attr-defined]
    n = logic.shape[-1]
    target = torch.stack([rebuilt[i, :, r : r + n, c : c + n] for i, r, c in b.logic_places])  # type: ignore[attr-defined]
    return {
        "hard": distance[distance >= torch.quantile(distance.double(), 0.999).float()].mean(),
        "penalty": model.student(b.penalty)[:, :CHANNELS].square().mean(),  # type: ignore[attr-defined]
        "autoencoder": (b.whole_teacher - rebuilt).square().mean(),  # type: ignore[attr-defined]
        "logical": (target - logic).square().mean(),
    }


@pytest.mark.parametrize("cached", [True, False])
def test_losses_equal_the_naive_algorithm_and_reach_the_right_weights(cached: bool) -> None:
    config = TINY if cached else dataclasses.replace(TINY, photometric_copies=0, crop_cells=64, crops=1)
    model, good, penalty = world(config, cached)
    model.eval()  # no dropout, so that both computations agree
    batch = draw(good, penalty, config, np.random.default_rng(1), torch.device("cpu"))
    found = losses(model, batch, 0.999)
    expected = reference_losses(model, good, batch)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4)
    grads = torch.autograd.grad(
        found["logical"], (model.student[0].weight, model.autoencoder.out.weight), retain_graph=True
    )
    assert all(g.abs().sum() > 0 for g in grads), "the logical loss trains both networks"
    with pytest.raises(RuntimeError):
        torch.autograd.grad(found["hard"], model.autoencoder.out.weight)


def test_fresh_batches_augment_only_what_the_paper_augments() -> None:
    config = dataclasses.replace(TINY, photometric_copies=0, crop_cells=64)
    _, good, penalty = world(config, cached=False)
    batch = draw(good, penalty, config, np.random.default_rng(1), torch.device("cpu"))
    originals = [extend(normalize(torch.from_numpy(i[None]))) for i in good.images[0]]
    assert any(torch.equal(batch.crops[batch.for_structure], o) for o in originals)
    assert not any(torch.equal(batch.crops[batch.for_logic], o) for o in originals)


class KilledError(Exception):
    pass


def test_a_killed_run_ends_with_the_same_weights(
    tiny: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import efficientad.train as module

    monkeypatch.setattr(module, "SAVE_SECONDS", -1)
    monkeypatch.setattr(module, "LOG_STEPS", 1)
    real, count = module.losses, 0

    def dies_at_the_third_step(*arguments: object) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        if count == 3:
            raise KilledError
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "losses", dies_at_the_third_step)
    out = tmp_path / "dots.safetensors"
    with pytest.raises(KilledError):
        tiny.train(TINY, tmp_path / "run", out)
    assert not out.exists()
    monkeypatch.setattr(module, "losses", real)
    tiny.train(TINY, tmp_path / "run", out)
    assert count == 3
    unbroken, resumed = load_file(tiny.model), load_file(out)
    assert unbroken.keys() == resumed.keys()
    for name, value in unbroken.items():
        assert torch.equal(value, resumed[name]), name


def test_a_run_folder_of_another_configuration_is_refused(tiny: TinyWorld, tmp_path: Path) -> None:
    tiny.train(TINY, tmp_path / "run", tmp_path / "dots.safetensors")
    with pytest.raises(InputError, match=r"another configuration \(lr\)"):
        tiny.train(dataclasses.replace(TINY, lr=5e-4), tmp_path / "run", tmp_path / "dots.safetensors")


def test_a_time_budget_becomes_a_number_of_steps_and_leaves_the_weights() -> None:
    config = dataclasses.replace(TINY, steps=None, minutes=0.05)
    model, good, penalty = world(config, cached=True)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert steps_for(model, good, penalty, config) >= 1
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_training_without_penalty_images_is_possible() -> None:
    model, good, _ = world(TINY, cached=True)
    batch = draw(good, None, TINY, np.random.default_rng(1), torch.device("cpu"))
    assert "penalty" not in losses(model, batch, 0.999)


def test_loss_falls(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, steps=30, lr=3e-3)
    model, good, penalty = world(config, cached=True)
    rows: list[dict[str, float]] = []
    smooth = np.repeat(np.repeat(np.asarray(good.teacher[:, :, ::32, ::32]), 32, axis=2), 32, axis=3)
    train(model, GoodImages(good.images, smooth * 0 + 1, model), penalty, config, tmp_path, rows.append)
    first = losses(
        world(config, True)[0], draw(good, penalty, config, np.random.default_rng(0), torch.device("cpu")), 0
    )
    assert rows[-1]["autoencoder"] < first["autoencoder"].item()


def test_presets_and_configuration_errors(tmp_path: Path) -> None:
    paper = make_config("x", "cuda", {"category": "a"})
    assert (paper.steps, paper.lr, paper.crop_cells, paper.optimizer) == (70_000, 1e-4, 64, "adam")
    cpu = make_config("x", "cpu", {"category": "a"})
    assert (cpu.steps, cpu.minutes, cpu.optimizer) == (None, CPU["minutes"], "muon")
    assert make_config("x", "cpu", {"category": "a", "steps": 5}).minutes is None
    with pytest.raises(InputError, match="no setting 'learning_rate'"):
        make_config("x", "cpu", {"category": "a", "learning_rate": 1})
    with pytest.raises(InputError, match="lr cannot be 'high'"):
        make_config("x", "cpu", {"category": "a", "lr": "high"})
    with pytest.raises(InputError, match=r"efficientad/configs has .*pill"):
        load_config(tmp_path / "none.yaml", "cpu")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_config(broken, "cpu")


def test_corners_are_seen_as_often_as_the_middle() -> None:
    from efficientad.samples import GRID, _place

    rng = np.random.default_rng(0)
    seen = np.zeros((GRID, GRID))
    for _ in range(20_000):
        row, column = _place(rng, 16)
        seen[row : row + 16, column : column + 16] += 1
    assert seen.min() > 0.5 * seen.mean() and seen.max() < 3 * seen.mean()
    corners = seen[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert abs(corners.mean() / seen[30:34, 30:34].mean() - 1) < 0.15
    assert _place(rng, GRID) == (0, 0)
