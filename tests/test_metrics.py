from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import precision_recall_curve, roc_auc_score

from efficientad.errors import InputError
from eval import metrics, torch_metrics

DISTRIBUTIONS = {
    "continuous": lambda rng, n: rng.normal(0.0, 0.3, n),
    "negative": lambda rng, n: rng.normal(-40.0, 3.0, n),
    "above one": lambda rng, n: rng.normal(700.0, 90.0, n),
    "heavy ties": lambda rng, n: rng.integers(-2, 3, n),
    "all equal": lambda rng, n: np.full(n, 0.25),
}


def maps_and_masks(seed: int, ties: bool, shape=(6, 24, 31)) -> tuple[np.ndarray, np.ndarray]:
    """Random blobs, some touching by a corner only, higher scores inside; the first two images are good."""
    rng = np.random.default_rng(seed)
    masks = ndimage.gaussian_filter(rng.normal(size=shape), (0, 1.2, 1.2)) > 0.35
    masks[:2] = False
    maps = rng.normal(size=shape) + masks * rng.uniform(0.5, 3.0, (len(masks), 1, 1))
    return (np.round(maps) if ties else maps).astype(np.float32), masks


def ranking_of(maps: np.ndarray, masks: np.ndarray) -> metrics.Ranking:
    sizes = np.concatenate([metrics.region_sizes(mask) for mask in masks])
    return metrics.rank(maps[~masks], maps[masks], sizes)


def brute_force_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Every distinct score is a threshold, every region stands alone, the line is walked step by step."""
    regions = []
    for image, mask in enumerate(masks):
        todo = {tuple(p) for p in np.argwhere(mask)}
        while todo:
            region, front = [], [todo.pop()]
            while front:
                y, x = front.pop()
                region.append((y, x))
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
                todo -= near
                front.extend(near)
            regions.append(np.array([maps[image, y, x] for y, x in region]))
    good = maps[~masks]
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append(((good >= threshold).mean(), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if x1 > limit:
            if x0 < limit:
                y_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
                area += (limit - x0) * (y0 + y_limit) / 2
            break
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auroc_and_best_f1_equal_scikit_learn(name: str, dtype: type) -> None:
    rng = np.random.default_rng(7)
    scores, labels = DISTRIBUTIONS[name](rng, 3000).astype(dtype), rng.random(3000) < 0.1
    scores[labels] += dtype(0.0 if name == "all equal" else 1.0)
    ranking = metrics.rank(scores[~labels], scores[labels])

    assert metrics.auroc(ranking) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    precision, recall, _ = precision_recall_curve(labels, scores)
    expected = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-30))
    f1, threshold = metrics.best_f1(ranking)
    assert f1 == pytest.approx(expected, abs=1e-12)
    assert metrics.decisions(scores > dtype(threshold), labels).f1 == pytest.approx(expected, abs=1e-12)


def test_auroc_counts_ties_by_half() -> None:
    assert metrics.auroc(metrics.rank([0, 1], [1, 2])) == 3.5 / 4
    assert metrics.auroc(metrics.rank([5, 5, 5], [5, 5])) == 0.5
    assert metrics.auroc(metrics.rank([1.0], [2.0])) == 1.0
    assert metrics.auroc(metrics.rank([2.0], [1.0])) == 0.0


def test_best_f1_takes_the_highest_of_equally_good_thresholds() -> None:
    f1, threshold = metrics.best_f1(metrics.rank([0.0, 5.0, 5.0, 5.0, 5.0], [1.0, 1.0, 6.0, 6.0]))
    assert f1 == pytest.approx(2 / 3)  # the upper two of four found; or all four, and four false ones
    assert 5.0 < threshold < 6.0


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("ties", [False, True])
def test_aupro_equals_brute_force(ties: bool, limit: float) -> None:
    for seed in range(3):
        maps, masks = maps_and_masks(seed, ties, (5, 16, 17))
        assert masks.any()
        expected = brute_force_aupro(maps, masks, limit)
        assert 0.02 < expected < 1
        assert metrics.aupro(ranking_of(maps, masks), limit) == pytest.approx(expected, abs=1e-12)


def test_aupro_extremes() -> None:
    masks = np.zeros((2, 8, 8), bool)
    masks[1, 2:4, 2:4] = masks[1, 6, 6] = True
    assert metrics.aupro(ranking_of(masks.astype(np.float32), masks)) == 1.0
    assert metrics.aupro(ranking_of(-masks.astype(np.float32), masks)) == 0.0
    diagonal = metrics.aupro(ranking_of(np.zeros((2, 8, 8), np.float32), masks))
    assert diagonal == pytest.approx(0.15)


def test_aupro_weighs_regions_not_pixels() -> None:
    mask = np.zeros((1, 10, 10), bool)
    mask[0, :5, :5] = mask[0, 9, 9] = True
    only_the_large_one = np.where(mask, 1.0, 0.0).astype(np.float32)
    only_the_large_one[0, 9, 9] = -1.0
    assert metrics.aupro(ranking_of(only_the_large_one, mask)) == pytest.approx(0.5)


def test_regions_join_at_corners() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]], bool)
    assert metrics.region_sizes(mask).tolist() == [2, 1, 2, 1]
    assert metrics.region_sizes(np.zeros((3, 3), bool)).tolist() == []


def test_one_class_is_undefined() -> None:
    for ranking in (metrics.rank([1.0, 2.0], []), metrics.rank([], [1.0], [1])):
        assert math.isnan(metrics.auroc(ranking))
        assert all(math.isnan(value) for value in metrics.best_f1(ranking))
    assert math.isnan(metrics.aupro(metrics.rank([1.0], [], [])))
    assert math.isnan(metrics.aupro(metrics.rank([], [1.0], [1])))


def test_unusable_input_is_refused() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(InputError, match="NaN"):
            metrics.rank([0.0, bad], [1.0])
        with pytest.raises(InputError, match="NaN"):
            metrics.rank([0.0], [bad, 1.0])
    with pytest.raises(InputError, match="region_sizes"):
        metrics.aupro(metrics.rank([0.0], [1.0]))
    with pytest.raises(InputError, match="sizes"):
        metrics.rank([0.0], [1.0, 2.0], [1])


def test_rank_leaves_its_input_alone() -> None:
    good, defective = np.array([3.0, 1.0]), np.array([2.0, 1.0])
    metrics.rank(good, defective)
    assert good.tolist() == [3.0, 1.0] and defective.tolist() == [2.0, 1.0]


def test_decisions() -> None:
    got = metrics.decisions([False, False, True, False, True], [False, False, False, True, True])
    assert (got.precision, got.recall, got.accuracy, got.f1) == (0.5, 0.5, 0.6, 0.5)
    assert got.false_positive_rate == pytest.approx(1 / 3)
    silent = metrics.decisions([False, False], [False, True])
    assert math.isnan(silent.precision) and silent.recall == 0.0 and silent.f1 == 0.0
    assert math.isnan(metrics.decisions([False], [True]).false_positive_rate)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("scale, shift", [(1, 0), (50, 20), (0.001, -3)])
def test_torchmetrics_image_by_image_equals_all_at_once(ties: bool, scale: float, shift: float) -> None:
    maps, masks = maps_and_masks(11, ties)
    maps = (maps * scale + shift).astype(np.float32)
    ranking = ranking_of(maps, masks)
    cases = [
        (torch_metrics.AUROC(), metrics.auroc(ranking), roc_auc_score(masks.ravel(), maps.ravel())),
        (torch_metrics.BestF1(), metrics.best_f1(ranking)[0], None),
        (torch_metrics.AUPRO(), metrics.aupro(ranking), None),
        (torch_metrics.AUPRO(limit=0.1), metrics.aupro(ranking, 0.1), None),
    ]
    for metric, expected, oracle in cases:
        for one, mask in zip(maps, masks, strict=True):
            metric.update(torch.from_numpy(one), torch.from_numpy(mask))
        step_by_step = metric.compute().item()
        metric.reset()
        metric.update(torch.from_numpy(maps)[:, None], torch.from_numpy(masks)[:, None].long())
        assert step_by_step == metric.compute().item() == pytest.approx(expected, abs=1e-12)
        if oracle is not None:
            assert step_by_step == pytest.approx(oracle, abs=1e-12)


def test_torchmetrics_one_class_and_reset() -> None:
    metric = torch_metrics.AUROC()
    metric.update(torch.tensor([-3.0, 4.0]), torch.tensor([0, 0]))
    assert math.isnan(metric.compute().item())
    metric.update(torch.tensor([5.0]), torch.tensor([1]))
    assert metric.compute().item() == 1.0
    metric.reset()
    metric.update(torch.tensor([1.0, 1.0]), torch.tensor([0, 1]))
    assert metric.compute().item() == 0.5
    with pytest.raises(InputError, match="shape"):
        metric.update(torch.zeros(3), torch.zeros(4))
