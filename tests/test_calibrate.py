import numpy as np
import pytest
import torch

from efficientad.calibrate import FALSE_ALARMS, calibrate, channel_statistics, combine, normalize, threshold


def test_the_two_quantiles_become_0_and_a_tenth() -> None:
    generator = torch.Generator().manual_seed(0)
    structural, logical = (torch.rand(7, 64, 64, generator=generator) * scale for scale in (3.0, 0.01))
    found = calibrate(structural, logical, 0.25)
    for raw, quantiles in ((structural, found.structural), (logical, found.logical)):
        scaled = normalize(raw, quantiles).numpy()
        assert np.quantile(scaled, 0.9) == pytest.approx(0, abs=1e-6)
        assert np.quantile(scaled, 0.995) == pytest.approx(0.1, abs=1e-6)
    expected = 0.75 * normalize(structural, found.structural) + 0.25 * normalize(logical, found.logical)
    torch.testing.assert_close(combine(structural, logical, found), expected)


def test_equal_quantiles_do_not_divide_by_zero() -> None:
    flat = torch.ones(2, 64, 64)
    found = calibrate(flat, flat, 0.5)
    assert torch.isfinite(combine(flat, flat, found)).all()
    assert np.isfinite(found.threshold)


def test_the_threshold_is_exceeded_by_the_stated_share_of_good_images() -> None:
    rng = np.random.default_rng(0)
    maxima = rng.normal(size=(40_000, 100)).max(axis=1)
    assert (maxima > threshold(maxima)).mean() == pytest.approx(FALSE_ALARMS, rel=0.5)
    alarms = [(maxima > threshold(rng.choice(maxima, 25))).mean() for _ in range(300)]
    assert np.mean(alarms) < 3 * FALSE_ALARMS  # from as few images as a category holds out


def test_one_good_image_still_gives_a_threshold() -> None:
    assert threshold(np.array([0.3])) == pytest.approx(0.3)


def test_channel_statistics_are_those_of_all_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = [torch.randn(4, 4, 384, generator=generator) * 2 + 5 for _ in range(3)]
    mean, std = channel_statistics(cells)
    stacked = torch.stack(cells).flatten(0, 2)
    torch.testing.assert_close(mean.flatten(), stacked.mean(0))
    torch.testing.assert_close(std.flatten(), stacked.std(0, correction=0))
