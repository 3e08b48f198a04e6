"""Plotly figures of an evaluation: how well the scores of test images tell defective from good. No gradio, no files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from efficientad.charts import DEFECTIVE, GOOD, GREY, MARK, bare
from efficientad.results import Scores


def operating_points(scores: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate, true positive rate and precision at every threshold, from strict to lenient.

    Thresholds are the scores themselves, each taken as "at or above"; the first point calls nothing defective.
    """
    cuts = np.unique(np.concatenate([scores.good, scores.defective]))[::-1]
    alarms = len(scores.good) - np.searchsorted(scores.good, cuts)
    found = len(scores.defective) - np.searchsorted(scores.defective, cuts)
    precision = found / (found + alarms)
    return (
        np.concatenate([[0.0], alarms / len(scores.good)]),
        np.concatenate([[0.0], found / len(scores.defective)]),
        np.concatenate([precision[:1], precision]),
    )


def roc(scores: Scores, threshold: float) -> go.Figure:
    """The ROC curve of image scores, and the point at the model's own threshold."""
    alarms, found, _ = operating_points(scores)
    at_found, at_alarms = scores.rates(threshold)
    figure = _curve(alarms, found, "false positive rate", "true positive rate")
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot", "width": 1}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    return _point(figure, at_alarms, at_found)


def precision_recall(scores: Scores, threshold: float) -> go.Figure:
    """The precision-recall curve of image scores, and the point at the model's own threshold."""
    _, found, precision = operating_points(scores)
    figure = _curve(found, precision, "recall", "precision")
    at_found, at_alarms = scores.rates(threshold)
    right, wrong = at_found * len(scores.defective), at_alarms * len(scores.good)
    return _point(figure, at_found, right / (right + wrong)) if right + wrong else figure


def by_defect_type(images: pd.DataFrame, threshold: float) -> go.Figure:
    """A dot for every test image by defect type; `images` are the rows of one category in images.csv."""
    figure = bare(height=340)
    order = sorted(images["defect_type"].unique(), key=lambda kind: (kind != "good", kind))
    for kind in order:
        rows, colour = images[images["defect_type"] == kind], GOOD if kind == "good" else DEFECTIVE
        figure.add_box(
            x=rows["score"], name=kind.replace("_", " "), boxpoints="all", pointpos=0, jitter=0.6,
            line={"width": 0}, fillcolor="rgba(0,0,0,0)", marker={"color": colour, "size": 6, "opacity": 0.7},
            text=rows["path"], hovertemplate="%{text}<br>score %{x:.3f}<extra></extra>", hoveron="points",
        )  # fmt: skip
    figure.add_vline(x=threshold, line={"color": MARK, "width": 2, "dash": "dash"})
    figure.update_xaxes(title="image score (dashed: the model's threshold)")
    figure.update_layout(showlegend=False, margin={"l": 130})
    return figure


def latency(categories: pd.DataFrame) -> go.Figure:
    """Median milliseconds an image, a bar for every category."""
    rows = categories.sort_values("category")
    figure = bare(height=260)
    figure.add_bar(
        x=[name.replace("_", " ") for name in rows["category"]], y=rows["milliseconds"], marker_color=GOOD,
        hovertemplate="%{x}: %{y:.0f} ms<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(title="milliseconds an image")
    return figure


def _curve(x: NDArray[np.float64], y: NDArray[np.float64], across: str, up: str) -> go.Figure:
    figure = bare(height=340)
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": GOOD, "width": 3}, name="all thresholds",
        hovertemplate=f"{across} %{{x:.3f}}<br>{up} %{{y:.3f}}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(margin={"t": 64})
    figure.update_xaxes(title=across, range=[-0.02, 1.02])
    figure.update_yaxes(title=up, range=[-0.02, 1.02])
    return figure


def _point(figure: go.Figure, x: float, y: float) -> go.Figure:
    return figure.add_scatter(
        x=[x], y=[y], mode="markers", marker={"color": DEFECTIVE, "size": 12, "symbol": "x"},
        name="the model's threshold", hovertemplate="%{x:.3f}, %{y:.3f}<extra>the model's threshold</extra>",
    )  # fmt: skip
