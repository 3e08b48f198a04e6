"""Plotly figures: maps with values under the pointer, histograms of scores, curves. No gradio, no files."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from efficientad.plots import INFERNO

# Okabe and Ito's palette: told apart by colour-blind eyes, on a light and on a dark page.
GOOD, DEFECTIVE, MARK, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"
SCALE = [[i / (len(INFERNO) - 1), f"rgb{colour}"] for i, colour in enumerate(INFERNO)]


def bare(height: int = 280) -> go.Figure:
    """An empty figure that suits a light and a dark page: no title, no background, thin margins."""
    figure = go.Figure()
    figure.update_layout(
        height=height, margin={"l": 48, "r": 12, "t": 12, "b": 40}, paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)", font={"color": GREY}, hoverlabel={"font": {"color": "white"}},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )  # fmt: skip
    grid = {"gridcolor": "rgba(136,136,136,.25)", "zerolinecolor": "rgba(136,136,136,.4)"}
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)
    return figure


def score_histogram(
    good: NDArray[np.float64], defective: NDArray[np.float64], threshold: float, score: float | None = None
) -> go.Figure:
    """How the scores of good and defective test images lie about a threshold, and where one image's score lies.

    good, defective: (N,), (M,) image scores. The axis ends where the 98 % quantile of all scores does, or beyond
    `score` and `threshold`: single enormous scores are counted in the last bar.
    """
    every = np.concatenate([good, defective, [threshold]])
    low, high = float(every.min()), float(np.quantile(every, 0.98))
    high = max(high, 1.15 * threshold, low + 1e-6, score if score is not None else -np.inf)
    edges = np.linspace(low, high, 41)
    figure = bare()
    for name, values, colour in (("good", good, GOOD), ("defective", defective, DEFECTIVE)):
        counts = np.histogram(values.clip(low, high), edges)[0]
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges), name=name, marker_color=colour,
            opacity=0.65, hovertemplate="%{y} images<br>score %{x:.3f}<extra>" + name + "</extra>",
        )  # fmt: skip
    tallest = max(1, *(int(trace.y.max()) for trace in figure.data))
    lines = [("threshold", threshold, MARK, "dash")]
    if score is not None:
        lines.append(("this image", score, GREY, "solid"))
    for name, x, colour, dash in lines:
        figure.add_scatter(
            x=[x, x], y=[0, tallest], mode="lines", name=name, line={"color": colour, "width": 3, "dash": dash},
            hovertemplate=f"{name} {x:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0, margin={"t": 80})
    figure.update_xaxes(title="image score", range=[low, high])
    figure.update_yaxes(title="images")
    return figure


def anomaly_heatmap(values: NDArray[np.float32], top: float, threshold: float | None = None) -> go.Figure:
    """A map with its value under the pointer, on the absolute colour scale from 0 to `top`.

    values: (h, w) map, row 0 at the top; keep h and w near 128, every value goes to the browser. `threshold`
    is marked on the colour bar.
    """
    height, width = values.shape
    ticks = {"tickvals": [0, top], "ticktext": ["0", f"{top:.3g}"]}
    if threshold is not None:
        ticks = {"tickvals": [0, threshold, top], "ticktext": ["0", f"threshold {threshold:.2f}", f"{top:.3g}"]}
    figure = bare(height=300)
    figure.add_heatmap(
        z=np.round(values, 4), zmin=0, zmax=top, colorscale=SCALE, hovertemplate="%{z:.3f}<extra></extra>",
        colorbar={"orientation": "h", "thickness": 8, "len": 1, "outlinewidth": 0, "y": 0, "yanchor": "top", **ticks},
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain")
    figure.update_yaxes(visible=False, range=[height - 0.5, -0.5], scaleanchor="x", constrain="domain")
    figure.update_layout(margin={"l": 12, "r": 12, "t": 30, "b": 36})
    return figure
