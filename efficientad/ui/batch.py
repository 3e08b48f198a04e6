"""The Batch tab: many images or a zip in; a table, the worst images, a histogram and files to download out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from efficientad.archives import IMAGES, Entry, images_in
from efficientad.batch import as_csv
from efficientad.charts import score_histogram
from efficientad.errors import InputError
from efficientad.images import load_image
from efficientad.ui import gpu, uploads
from efficientad.ui.checked import Batch, Checked
from efficientad.ui.events import QUICK
from efficientad.ui.threshold import SESSION, slider, wire
from efficientad.zoo import Own, Zoo

WORST = 12  # images in the gallery
HEADERS = ["file", "score", "verdict", "milliseconds", "note"]
WIDTHS: list[str | int] = ["210px", "100px", "120px", "140px", "240px"]
INTRODUCTION = "Many images at a time, or a zip of them. One that cannot be read does not hold up the others."
ENDPOINT = (
    "Inspect many images: `files` are images or zips of them. The first value is a list with a row for every image: "
    "file, score, threshold, defective, milliseconds, whether the image fits the category (if not, the score means "
    "nothing), error. An image that could not be read has an error and null for the rest. The second value is the CSV."
)


# ---------------------------------------------------------------- what the page does, without a server


def check(zoo: Zoo, entry: Entry, category: str, own: Own | None = None) -> Checked:
    """Run the model on one image."""
    try:
        rgb = load_image(entry.read())
        found = gpu.predict(zoo, category, rgb, own)
        return Checked.of(entry.name, rgb, found, zoo.fit(category, found.summary, own))
    except InputError as error:
        return Checked(entry.name, str(error))


def check_all(zoo: Zoo, paths: list[Path], category: str | None, own: Own | None = None) -> Iterator[Batch]:
    """The batch so far, after every image and before the first. Raises gr.Error if there is nothing to inspect.

    paths: of the uploads.
    """
    try:
        if not category:
            raise InputError("Choose a category first; if there is none, train a model and reload this page.")
        if not paths:
            raise InputError("Upload images or a zip of them first.")
        threshold = zoo.card(category, own).calibration.threshold
        with images_in(paths) as entries:
            batch = Batch(category, threshold, len(entries))
            yield batch
            for entry in entries:
                batch.checked.append(check(zoo, entry, category, own))
                yield batch
        if not batch.seen:
            raise InputError(_nothing_seen(batch))
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error


def summary(batch: Batch, threshold: float) -> str:
    """What was found, in one line of Markdown."""
    seen = batch.seen
    defective = sum(each.score > threshold for each in seen)
    doubtful = sum(not (each.fit and each.fit.fits) for each in seen)
    name = batch.category.replace("_", " ")
    parts = [f"**{defective} of {len(seen)}** images of {name} are defective at the threshold {threshold:.3f}"]
    if batch.failed:
        parts.append(f"**{len(batch.failed)}** could not be read")
    if doubtful:
        parts.append(f"**{doubtful}** may not show {name} at all")
    text = "; ".join(parts) + "."
    if seen:
        text += f" Time on this device: {np.median([each.milliseconds for each in seen]):.0f} ms an image."
    if len(batch.checked) < batch.total:
        text += f" Stopped after {len(batch.checked)} of {batch.total} images."
    return text


def table(batch: Batch, threshold: float) -> list[list[Any]]:
    """Rows under HEADERS: highest score first, what could not be read last."""
    rows: list[list[Any]] = []
    for each in batch.seen:
        kind = "defective" if each.score > threshold else "good"
        rows.append([each.name, round(each.score, 4), kind, round(each.milliseconds, 1), _note(batch.category, each)])
    return rows + [[each.name, None, "not read", None, each.error] for each in batch.failed]


def worst(batch: Batch, threshold: float) -> list[tuple[NDArray[np.uint8], str]]:
    """Overlays of the images with the highest scores, with captions."""
    return [
        (each.overlay(batch.threshold, threshold), f"{Path(each.name).name} · {each.score:.3f}")
        for each in batch.seen[:WORST]
    ]


def judged(batch: Batch, threshold: float) -> tuple[Any, ...]:
    """What depends on the threshold: summary, table, gallery, histogram, CSV."""
    scores = np.array([each.score for each in batch.seen])
    above = scores > threshold
    return (
        summary(batch, threshold),
        table(batch, threshold),
        worst(batch, threshold),
        score_histogram(scores[~above], scores[above], threshold),
        spreadsheet(batch, threshold),
    )


def top(batch: Batch) -> float:
    """How far the threshold slider goes at least: all scores are in its range."""
    return max((each.score for each in batch.seen[:1]), default=0.0)


def spreadsheet(batch: Batch, threshold: float) -> str:
    """Path of the table as CSV."""
    path = uploads.folder() / f"{batch.category}.csv"
    path.write_text(as_csv(batch.rows(threshold)), encoding="utf-8")
    return str(path)


def bar(batch: Batch) -> str:
    """How far a batch is, as HTML."""
    done = len(batch.checked)
    if done == batch.total:
        return ""
    return (
        f'<label>{done} of {batch.total} images <progress max="{batch.total}" value="{done}" '
        'style="width: 100%; accent-color: var(--color-accent)"></progress></label>'
    )


def arrive(zoo: Zoo, category: str | None, own: Own) -> tuple[Any, ...]:
    """The categories of now: a model may have been trained since the app started."""
    categories = zoo.categories(own)
    chosen = category if category in categories else next(iter(categories), None)
    return gr.Dropdown(choices=categories, value=chosen), gr.Button(interactive=bool(categories))


def _note(category: str, each: Checked) -> str:
    if each.fit is None or each.fit.fits:
        return ""
    better = f", more like {each.fit.best}" if each.fit.best != category else ""
    return f"unlike {category}{better}".replace("_", " ")


def _nothing_seen(batch: Batch) -> str:
    first = batch.failed[0]
    if batch.total == 1:
        return f"{first.name}: {first.error}"
    return f"None of the {batch.total} files could be inspected. The first, {first.name}: {first.error}"


# ---------------------------------------------------------------- layout and wiring


def layout(demo: gr.Blocks, zoo: Zoo, own: gr.State) -> None:
    """Place the tab in the current context. Endpoint: /batch(files, category).

    own: the models that the session has trained.
    """
    categories = zoo.categories()
    kept = gr.State(None, time_to_live=SESSION)
    gr.Markdown(INTRODUCTION)
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            category = gr.Dropdown(categories, label="Category", elem_id="batch-category")
            files = gr.File(
                file_count="multiple", file_types=[*IMAGES, ".zip"], label="Images, or a zip of them", height=260,
                elem_id="batch-files",
            )  # fmt: skip
            with gr.Row():
                button = gr.Button("Inspect all", variant="primary", interactive=bool(categories), elem_id="batch-run")
                cancel = gr.Button("Stop", elem_id="batch-stop")
            progress = gr.HTML(elem_id="batch-progress")
        with gr.Column(scale=2, min_width=300):
            sentence = gr.Markdown(elem_id="batch-summary")
            with gr.Column(visible=False) as findings:
                with gr.Row():
                    csv = gr.DownloadButton("Table (.csv)", size="sm", elem_id="batch-csv")
                    prepare = gr.Button("Prepare overlays", size="sm", elem_id="batch-prepare")
                    overlays = gr.DownloadButton("Table and overlays (.zip)", size="sm", visible=False)
                with gr.Row(equal_height=False):
                    with gr.Column(min_width=260):
                        threshold = gr.Slider(
                            0, 1, label="Threshold", info="Moves all verdicts; the network does not run again.",
                            elem_id="batch-threshold",
                        )  # fmt: skip
                        reset = gr.Button("Back to the model's threshold", size="sm")
                    with gr.Column(min_width=300):
                        histogram = gr.Plot(label="Scores of this batch", elem_id="batch-histogram")
                listing = gr.Dataframe(
                    headers=HEADERS, datatype=["str", "number", "str", "number", "str"], interactive=False,
                    wrap=True, column_widths=WIDTHS, label="Click a heading to sort", elem_id="batch-table",
                )  # fmt: skip
                gallery = gr.Gallery(
                    label="The highest scores", columns=4, object_fit="contain", format="jpeg", interactive=False,
                    elem_id="batch-worst", elem_classes="strip",
                )  # fmt: skip
    # The endpoint answers with a report, the page with pictures: this button, which nobody sees, is the endpoint's.
    endpoint = gr.Button(visible=False)
    report = gr.JSON(visible=False)

    judgement = [sentence, listing, gallery, histogram, csv]
    outputs = [*judgement, threshold, findings, overlays, progress]

    def run(files: list[dict[str, Any]] | None, category: str | None, own: Own) -> Iterator[tuple[Any, ...]]:
        for batch in check_all(zoo, uploads.paths_of(files), category, own):
            yield bar(batch), batch

    def answer(files: list[dict[str, Any]] | None, category: str | None, own: Own) -> Iterator[tuple[Any, ...]]:
        for batch in check_all(zoo, uploads.paths_of(files), category, own):  # noqa: B007 - the last is whole
            yield gr.skip(), gr.skip()
        yield batch.report(), spreadsheet(batch, batch.threshold)

    def show(batch: Batch | None) -> tuple[Any, ...]:
        if batch is None or not batch.seen:
            return nothing()
        found = gr.Column(visible=True), gr.DownloadButton(visible=False), ""
        return *judged(batch, batch.threshold), slider(batch.threshold, top(batch)), *found

    def nothing() -> tuple[Any, ...]:
        hidden = gr.Column(visible=False), gr.DownloadButton(visible=False), ""
        return "", None, None, None, None, gr.skip(), *hidden

    def judge(batch: Batch | None, threshold: float) -> tuple[Any, ...]:
        return judged(batch, threshold) if batch else tuple(gr.skip() for _ in judgement)

    def pack(batch: Batch | None, threshold: float) -> Any:
        if batch is None:
            return gr.skip()
        path = uploads.folder() / f"{batch.category}.zip"
        batch.archive(threshold, path)
        return gr.DownloadButton(value=str(path), visible=True)

    def refresh(category: str | None, own: Own) -> tuple[Any, ...]:
        return arrive(zoo, category, own)

    # preprocess=False: gr.Dropdown would refuse a model that was trained after the start, gr.File an unusual ending.
    # One batch at a time; between its images, single inspections have their turn.
    model: dict[str, Any] = {
        "inputs": [files, category, own], "preprocess": False, "concurrency_id": "batch", "concurrency_limit": 1,
    }  # fmt: skip
    ran = button.click(run, outputs=[progress, kept], show_progress_on=[progress], api_visibility="private", **model)
    ran.success(show, kept, outputs, **QUICK)
    ran.failure(nothing, None, outputs, **QUICK)
    cancel.click(show, kept, outputs, cancels=[ran], **QUICK)
    endpoint.click(answer, outputs=[report, csv], api_name="batch", api_description=ENDPOINT, **model)

    moved = [kept, threshold]

    def back(batch: Batch | None) -> Any:
        return slider(batch.threshold, top(batch)) if batch else gr.skip()

    wire([threshold], judge, moved, judgement)
    reset.click(back, kept, threshold, **QUICK).then(judge, moved, judgement, **QUICK)
    prepare.click(pack, moved, overlays, api_visibility="private")
    gr.on([demo.load, own.change], refresh, [category, own], [category, button], **QUICK)
