"""The Results tab: the committed evaluation, what others report, and what the models miss."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
import pandas as pd
from PIL import Image

from efficientad import charts, curves
from efficientad.errors import InputError
from efficientad.images import load_image
from efficientad.results import Results
from efficientad.ui.events import QUICK
from efficientad.ui.examples import FIGURES

METRICS = {
    "Image AUROC": "image_auroc",
    "Pixel AUROC": "pixel_auroc",
    "Pixel F1 (best threshold on the test pixels: an upper bound)": "pixel_f1",
    "AU-PRO (false positive rate up to 0.3)": "aupro",
}
WORST = 8  # pictures of misses, and of false alarms
SIDE = 256  # of such a picture, in pixels
INTRODUCTION = """Measured by `python -m eval tables` on the full MVTec AD test sets at the masks' resolution; nothing
was chosen or calibrated on test images. What others report was not measured by us: see `eval/results/reference`.
MVTec AD, © MVTec Software GmbH, CC BY-NC-SA 4.0."""
NOTHING = "**There is no evaluation yet:** `python -m eval tables --data path/to/mvtec_ad` makes one; reload then."


def comparison(results: Results, metric: str) -> pd.DataFrame:
    """One metric of all categories in percent, ours and others', rounded for display; "–" where nobody reports it."""
    frame = results.comparison(METRICS[metric])
    frame.columns = [str(name).replace("_", " ") for name in frame.columns]
    numbers = frame.columns[1:]
    return frame.assign(**{name: [f"{v:.1f}" if np.isfinite(v) else "–" for v in frame[name]] for name in numbers})


def of_category(results: Results, category: str, data: Path | None) -> tuple[Any, ...]:
    """Sentence, ROC curve, precision-recall curve, histogram, scores by type, misses and false alarms."""
    row = results.categories[results.categories["category"] == category].iloc[0]
    images = results.images[results.images["category"] == category]
    scores = results.scores(category)
    assert scores is not None, "categories.csv and images.csv were written together"
    threshold = float(row["image_threshold"])
    return (
        sentence(row),
        curves.roc(scores, threshold),
        curves.precision_recall(scores, threshold),
        charts.score_histogram(scores.good, scores.defective, threshold),
        curves.by_defect_type(images, threshold),
        pictures(errors(images, defective=True), data),
        pictures(errors(images, defective=False), data),
    )


def sentence(row: pd.Series) -> str:
    """How good the model of a category is, in a paragraph of Markdown; `row` is its line of categories.csv."""
    split = "" if row["split"] == "standard" else " (not the official split)"
    return (
        f"**{str(row['category']).replace('_', ' ').capitalize()}**{split}: {row['good_images']} good and "
        f"{row['defective_images']} defective test images, seed {row['seed']}. At the model's threshold "
        f"**{100 * row['image_recall']:.1f} %** of the defective are found and "
        f"**{100 * row['image_false_positive_rate']:.1f} %** of the good are called defective. "
        f"An image takes {row['milliseconds']:.0f} ms (median, two CPU cores)."
    )


def errors(images: pd.DataFrame, *, defective: bool) -> pd.DataFrame:
    """Rows of the worst misses (`defective`) or false alarms, the worst first."""
    wrong = images[(images["defective"] == defective) & ((images["decision"] == "defective") != defective)]
    return wrong.sort_values("score", ascending=defective).head(WORST)


def pictures(rows: pd.DataFrame, data: Path | None) -> Any:
    """The images of these rows as far as the dataset is at hand; a gallery that hides when there are none."""
    found = []
    for _, row in rows.iterrows():
        try:
            picture = Image.fromarray(load_image((data or Path()) / row["path"])) if data else None
        except InputError:
            continue  # the configured dataset is another one
        if picture:
            picture.thumbnail((SIDE, SIDE))
            kind = str(row["defect_type"]).replace("_", " ")
            found.append((picture, f"{kind}, score {row['score']:.3f}"))
    return gr.Gallery(found, visible=bool(found), selected_index=None)


def gifs(folder: Path = FIGURES.parent) -> str:
    """The moving figures of `python -m eval gifs` as HTML; empty if there are none."""
    figures = "".join(
        f'<figure><img loading="lazy" src="gradio_api/file={quote(str(path))}" alt="{name}: input, ground truth, '
        f'anomaly map and overlay of one image of every defect type"><figcaption>{name}</figcaption></figure>'
        for path in sorted(folder.glob("*.gif"))
        for name in [path.stem.replace("_", " ").capitalize()]
    )
    return figures and f'<div class="gifs">{figures}</div>'


def summary(results: Results | None) -> list[dict[str, Any]]:
    """The stored evaluation, a dictionary for every category: the endpoint /results."""
    if results is None:
        return []
    rows = results.categories.to_dict("records")
    return [
        {str(k): None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()} for row in rows
    ]


def layout(demo: gr.Blocks, data: Path | None, results: Results | None) -> None:
    """Place the tab in the current context. Endpoint: /results."""

    def stored() -> list[dict[str, Any]]:
        return summary(results)

    gr.api(stored, api_name="results", api_description="The stored evaluation: a dictionary for every category.")
    if results is None or results.categories.empty:
        gr.Markdown(NOTHING)
        return
    evaluation: Results = results
    categories = sorted(evaluation.categories["category"])
    first = next(iter(METRICS))
    gr.Markdown(INTRODUCTION)
    metric = gr.Dropdown(list(METRICS), value=first, label="Metric, in percent", elem_id="metric")
    table = gr.Dataframe(
        comparison(evaluation, first), interactive=False, show_label=False, wrap=False, elem_id="comparison"
    )
    gr.Markdown("### One category")
    category = gr.Dropdown(categories, value=categories[0], label="Category", elem_id="evaluated")
    text = gr.Markdown()
    with gr.Row():
        roc, precision = _plot("ROC curve"), _plot("Precision and recall")
    with gr.Row():
        histogram, types = _plot("Scores"), _plot("Scores by defect type")
    gr.Markdown("**Worst misses** (defective, called good) and **worst false alarms** (good, called defective)")
    misses, alarms = _gallery("Worst misses"), _gallery("Worst false alarms")
    if data is None:
        gr.Markdown("Start with `--data DIR` to see the images that the model gets wrong.")
    gr.Markdown("### Time on a CPU with two cores")
    gr.Plot(curves.latency(evaluation.categories), show_label=False)
    if moving := gifs():
        gr.Markdown("### Every defect type, one image each")
        gr.set_static_paths([FIGURES.parent])
        gr.HTML(moving)

    def compare(metric: str) -> pd.DataFrame:
        return comparison(evaluation, metric)

    def show(category: str) -> tuple[Any, ...]:
        return of_category(evaluation, category, data)

    outputs = [text, roc, precision, histogram, types, misses, alarms]
    metric.input(compare, metric, table, **QUICK)
    gr.on([demo.load, category.input], show, category, outputs, **QUICK)


def _plot(label: str) -> gr.Plot:
    with gr.Column(min_width=300):
        gr.Markdown(f"**{label}**")
        return gr.Plot(show_label=False)


def _gallery(label: str) -> gr.Gallery:
    return gr.Gallery(
        label=label, show_label=False, object_fit="contain", allow_preview=False, interactive=False, buttons=[],
        visible=False, elem_classes=["strip", "wrong"],
    )  # fmt: skip
