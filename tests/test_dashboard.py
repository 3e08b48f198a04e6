"""The Results tab without a browser: its curves against scikit-learn, its tables, its misses."""

from __future__ import annotations

import app  # noqa: F401 - first: it sets the environment flags that gradio reads when it is imported

# isort: split
import json
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_auc_score

from efficientad import curves
from efficientad.results import Results, Scores, load_results
from efficientad.ui import dashboard


@pytest.fixture
def results() -> Results:
    shared = {"size": "S", "seed": 42, "good_images": 2, "defective_images": 3, "milliseconds": 100.0}
    rates = {"image_recall": 2 / 3, "image_false_positive_rate": 0.5, "image_threshold": 0.5}
    metrics = {"pixel_auroc": 0.9, "pixel_f1": 0.5, "aupro": 0.8}
    categories = pd.DataFrame([
        {"category": "pill", "split": "standard", "image_auroc": 0.96, **shared, **rates, **metrics},
        {"category": "toothbrush", "split": "non-standard", "image_auroc": 0.5, **shared, **rates, **metrics},
    ])  # fmt: skip
    rows = [
        ("good", False, 0.2), ("good", False, 0.7), ("crack", True, 0.9), ("crack", True, 0.1),
        ("pill_type", True, 0.8),
    ]  # fmt: skip
    images = pd.DataFrame([
        {
            "category": "pill", "path": f"pill/test/{kind}/{i:03}.png", "defect_type": kind, "defective": defective,
            "score": score, "threshold": 0.5, "decision": "defective" if score > 0.5 else "good",
        }
        for i, (kind, defective, score) in enumerate(rows)
    ])  # fmt: skip
    reference = pd.DataFrame([
        {"source": "other", "size": "M", "metric": "image_auroc", "category": "pill", "value": 98.5},
    ])  # fmt: skip
    return Results(categories, images, reference)


def test_curves_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    good, defective = np.sort(rng.normal(0, 1, 50).round(1)), np.sort(rng.normal(1, 1, 70).round(1))
    alarms, found, precision = curves.operating_points(Scores(good, defective))
    truth, scores = np.r_[np.zeros(50), np.ones(70)], np.r_[good, defective]
    assert np.trapezoid(found, alarms) == pytest.approx(roc_auc_score(truth, scores))
    expected, recall, _ = precision_recall_curve(truth, scores)
    assert np.allclose(precision[1:], expected[:-1][::-1]) and np.allclose(found[1:], recall[:-1][::-1])


def test_the_comparison_averages_official_splits_only(results: Results) -> None:
    table = dashboard.comparison(results, "Image AUROC")
    assert table.columns.tolist() == ["method", "mean", "pill", "toothbrush"]
    assert table.values.tolist() == [
        ["EfficientAD-S, ours", "96.0", "96.0", "50.0"], ["EfficientAD-M, other", "98.5", "98.5", "–"],
    ]  # fmt: skip


def captions(gallery: gr.Gallery) -> list[str]:
    return [item["caption"] for item in gallery.value]


def test_a_category_shows_rates_and_errors(results: Results, tmp_path: Path) -> None:
    for path in results.images["path"]:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 300)).save(file)
    text, roc, precision, histogram, types, misses, alarms = dashboard.of_category(results, "pill", tmp_path)
    assert "66.7 %" in text and "50.0 %" in text
    point = roc.data[-1]
    assert (point.x[0], point.y[0]) == (0.5, pytest.approx(2 / 3))
    assert precision.data[-1].y[0] == pytest.approx(2 / 3)
    assert [trace.name for trace in types.data] == ["good", "crack", "pill type"]
    assert len(histogram.data) == 3
    assert captions(misses) == ["crack, score 0.100"]
    assert captions(alarms) == ["good, score 0.700"]
    assert not dashboard.pictures(dashboard.errors(results.images, defective=True), None).visible
    assert not dashboard.pictures(dashboard.errors(results.images, defective=True), tmp_path / "other").visible


def test_the_endpoint_is_plain_json(results: Results) -> None:
    results.categories.loc[0, "pixel_auroc"] = float("nan")
    rows = json.loads(json.dumps(dashboard.summary(results), allow_nan=False))
    assert [row["category"] for row in rows] == ["pill", "toothbrush"] and rows[0]["pixel_auroc"] is None
    assert dashboard.summary(None) == []


def test_the_committed_evaluation_can_be_shown() -> None:
    results = load_results()
    assert results is not None
    for category in results.categories["category"]:
        assert dashboard.of_category(results, category, None)[0]
    for metric in dashboard.METRICS:
        assert "ours" in dashboard.comparison(results, metric)["method"].iloc[0]


def test_the_figures_are_shown_by_name(tmp_path: Path) -> None:
    (tmp_path / "metal_nut.gif").touch()
    text = dashboard.gifs(tmp_path)
    assert "<figcaption>Metal nut</figcaption>" in text and "metal_nut.gif" in text
    assert dashboard.gifs(tmp_path / "absent") == ""
