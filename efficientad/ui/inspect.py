"""The Inspect tab: one image in; verdict, overlay, maps and what the threshold means out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from efficientad.charts import anomaly_heatmap, score_histogram
from efficientad.errors import InputError
from efficientad.images import load_image
from efficientad.results import Results
from efficientad.ui import examples, gpu, uploads
from efficientad.ui.events import QUICK
from efficientad.ui.shelves import PAGE, browse, first_page, offer, shelves, tiles
from efficientad.ui.shown import Shown
from efficientad.ui.threshold import SESSION, slider, wire
from efficientad.ui.verdict import IDLE, legend, meaning, model_line, top_of_scale, verdict
from efficientad.zoo import Own, Zoo

MODEL = "model"  # concurrency group of every event that runs a model: one at a time, on all cores
OPACITY = 0.5
UNTRAINED = (
    "**There is no trained model yet:** train one on photos of good parts, then reload this page: "
    "`python -m efficientad train --config efficientad/configs/bottle.yaml --data path/to/mvtec_ad`"
)
COMBINED = "**Combined**: the weighted mean of the two. Its maximum is the image score."
STRUCTURAL = "**Structural** (student–teacher): local damage, such as scratches, dents, contamination."
LOGICAL = "**Logical** (student–autoencoder): wrong arrangement, such as parts missing, misplaced or too many."
GUIDE = """Every map has the same colour scale for all images of a category, so a good part stays dark: 0 is what
90 % of the pixels of good parts do not exceed, 0.1 what 99.5 % do not. Point at a map to read its values."""
# The element outlives its content, and so screen readers announce every new verdict.
LIVE = "element.setAttribute('role', 'status'); element.setAttribute('aria-atomic', 'true')"
SHOW_VERDICT = "() => document.getElementById('verdict').scrollIntoView({block: 'nearest'})"
ENDPOINT = (
    "Inspect one image. The first value is the decision: category, score, threshold, defective, milliseconds; whether "
    "the image fits the category (if not, the score means nothing), and the category that it fits best. Then the "
    "verdict as HTML, the pair of original and overlay, the colour scale, its meaning, the histogram, the three maps."
)


# ---------------------------------------------------------------- what the page shows, without a server


def look(zoo: Zoo, image: str | np.ndarray | None, category: str | None, own: Own | None = None) -> Shown:
    """Run the model. Raises gr.Error for bad input.

    image: path of the upload, or the (H, W, 3) uint8 pixels of an example.
    """
    try:
        if not category:
            raise InputError("Choose a category first; if there is none, train a model and reload this page.")
        if isinstance(image, np.ndarray):
            rgb = image
        elif image:
            rgb = load_image(Path(image).read_bytes())  # bytes: errors must not name the server's temporary file
        else:
            raise InputError("Upload an image first, or pick an example.")
        found = gpu.predict(zoo, category, rgb, own)
        return Shown.of(rgb, found, zoo.fit(category, found.summary, own))
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error


def judged(shown: Shown, threshold: float, opacity: float, results: Results | None) -> tuple[Any, ...]:
    """What depends on the threshold: decision, verdict, original and overlay, legend, its meaning, histogram."""
    scores = results.scores(shown.category) if results else None
    histogram = gr.Plot(visible=False)
    if scores:
        histogram = gr.Plot(score_histogram(scores.good, scores.defective, threshold, shown.score), visible=True)
    return (
        shown.report(threshold),
        verdict(shown.category, shown.score, threshold, shown.milliseconds, shown.fit),
        (shown.photo, shown.overlay(threshold, opacity)),
        legend(shown.score, threshold, top_of_scale(shown.threshold)),
        meaning(threshold, scores),
        histogram,
    )


def filed(judgement: tuple[Any, ...]) -> tuple[Any, ...]:
    """What `judged` returns, with original and overlay as files."""
    decision, words, pair, *rest = judgement
    return decision, words, tuple(uploads.picture(each, "jpeg") for each in pair), *rest


def maps(shown: Shown) -> tuple[Any, ...]:
    """The combined, the structural and the logical map, to be pointed at."""
    top = top_of_scale(shown.threshold)
    return (
        anomaly_heatmap(shown.combined, top, shown.threshold),
        anomaly_heatmap(shown.structural, top),
        anomaly_heatmap(shown.logical, top),
    )


def nothing() -> tuple[Any, ...]:
    """The outputs of an inspection before there is one; without the state's and the slider's."""
    return None, IDLE, None, "", "", gr.Plot(visible=False), None, None, None


def arrive(zoo: Zoo, data: Path | None, category: str | None, own: Own) -> tuple[Any, ...]:
    """What a freshly opened page shows: a model may have been trained since the app started."""
    categories = zoo.categories(own)
    chosen = category if category in categories else next(iter(categories), None)
    return (
        gr.Dropdown(choices=categories, value=chosen),
        gr.Button(interactive=bool(categories)),
        gr.Markdown(visible=not categories),
        gr.Gallery(tiles(categories, data), columns=max(1, len(categories)), visible=len(categories) > 1),
        offer(chosen, data),
        *shelves(chosen, data),
    )


# ---------------------------------------------------------------- layout and wiring


def layout(demo: gr.Blocks, zoo: Zoo, data: Path | None, own: gr.State, results: Results | None) -> None:
    """Place the tab in the current context. Endpoint: /inspect(image, category).

    own: the models that the session has trained. results: the stored evaluation.
    """
    categories = zoo.categories()
    shown = gr.State(None, time_to_live=SESSION)
    untrained = gr.Markdown(UNTRAINED, visible=not categories, elem_id="untrained")
    tile_row = _strip("tiles", len(categories) or 1)
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            category = gr.Dropdown(categories, label="Category", elem_id="category")
            image = gr.Image(
                type="filepath", image_mode=None, format="png", sources=["upload", "clipboard", "webcam"],
                label="Image", height=300, buttons=[], elem_id="image",
            )  # fmt: skip
            button = gr.Button("Inspect", variant="primary", interactive=bool(categories), elem_id="inspect")
            gallery = _strip("examples", 4)
            with gr.Accordion("Test images of the dataset", open=False, visible=False) as shelf:
                defect_type = gr.Dropdown(label="Type")
                test_gallery = _strip("tests", 4)
                page = gr.Slider(1, 2, step=1, label="Page", visible=False)
        with gr.Column(scale=2, min_width=300):
            decision = gr.HTML(IDLE, js_on_load=LIVE, elem_id="verdict")
            with gr.Column(elem_classes="pictures"):
                with gr.Row(equal_height=False):
                    pair = gr.ImageSlider(
                        label="Original and overlay", max_height=460, interactive=False,
                        slider_position=10,  # a defect anywhere lies under the overlay at first sight
                        buttons=["download", "fullscreen"], elem_id="pair",
                    )  # fmt: skip
                    truth = gr.Image(
                        label="Ground truth", visible=False, interactive=False, height=300,
                        buttons=[], elem_id="truth",
                    )  # fmt: skip
                scale = gr.HTML()
                with gr.Row(equal_height=False):
                    with gr.Column(min_width=260):
                        threshold = gr.Slider(
                            0, 1, label="Threshold", info="Moves verdict and outline; the network does not run again.",
                            elem_id="threshold",
                        )  # fmt: skip
                        reset = gr.Button("Back to the model's threshold", size="sm")
                        opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity of the overlay", elem_id="opacity")
                        sentence = gr.Markdown(elem_id="meaning")
                    with gr.Column(min_width=300):
                        histogram = gr.Plot(label="Test images of this category", visible=False, elem_id="histogram")
                with gr.Row(equal_height=False):
                    combined, structural, logical = (
                        _map(name, text)
                        for name, text in (("Combined", COMBINED), ("Structural", STRUCTURAL), ("Logical", LOGICAL))
                    )
                gr.Markdown(GUIDE)
                made = gr.Markdown(elem_id="model")
                with gr.Row():
                    prepare = gr.Button("Prepare download", size="sm")
                    download = gr.DownloadButton("Overlay, raw map and decision (.zip)", size="sm", visible=False)
                with gr.Accordion("As JSON", open=False):
                    decided = gr.JSON(show_label=False)

    judgement = [decided, decision, pair, scale, sentence, histogram]
    pictures = [*judgement, combined, structural, logical]
    outputs = [*pictures, threshold, made, shown]
    shelf_outputs = [shelf, defect_type, page, test_gallery]

    def run(image: dict[str, Any] | None, category: str | None, opacity: float, own: Own) -> Iterator[tuple[Any, ...]]:
        yield from inspected(uploads.path_of(image), category, opacity, own)

    def inspected(
        image: str | np.ndarray | None, category: str | None, opacity: float, own: Own
    ) -> Iterator[tuple[Any, ...]]:
        result = look(zoo, image, category, own)
        *first, histogram = filed(judged(result, result.threshold, opacity, results))
        rest = slider(result.threshold), model_line(zoo.card(result.category, own)), result
        # Verdict and overlay first: to draw histogram and maps takes a browser longer than all the rest.
        yield *first, *(gr.skip() for _ in range(4)), *rest
        yield *first, histogram, *maps(result), *rest

    def judge(result: Shown | None, threshold: float, opacity: float) -> tuple[Any, ...]:
        if result is None:
            return tuple(gr.skip() for _ in judgement)
        return filed(judged(result, threshold, opacity, results))

    def back(result: Shown | None) -> Any:
        return slider(result.threshold) if result else gr.skip()

    def pack(result: Shown | None, threshold: float, opacity: float) -> Any:
        if result is None:
            return gr.skip()
        path = uploads.folder() / f"{result.category}.zip"
        path.write_bytes(result.archive(threshold, opacity))
        return gr.DownloadButton(value=str(path), visible=True)

    def pick(category: str, opacity: float, own: Own, event: gr.SelectData) -> Iterator[tuple[Any, ...]]:
        yield from picked(examples.find(category, data)[event.index], category, opacity, own)

    def pick_test(
        category: str, opacity: float, own: Own, defect_type: str, page: float, event: gr.SelectData
    ) -> Iterator[tuple[Any, ...]]:
        found = examples.test_images(category, data, defect_type)
        yield from picked(found[int(page - 1) * PAGE + event.index], category, opacity, own)

    def picked(example: examples.Example, category: str, opacity: float, own: Own) -> Iterator[tuple[Any, ...]]:
        rgb, mask = example.image(), example.truth()
        picture = uploads.picture(rgb, "png")
        ground = gr.Image(value=None if mask is None else uploads.picture(mask, "png"), visible=mask is not None)
        for found in inspected(rgb, category, opacity, own):
            yield picture, ground, *found

    def choose(own: Own, event: gr.SelectData) -> str:
        return zoo.categories(own)[event.index]

    def enter(category: str | None) -> tuple[Any, ...]:
        return offer(category, data), *shelves(category, data)

    def refresh(category: str | None, own: Own) -> tuple[Any, ...]:
        return arrive(zoo, data, category, own)

    # preprocess=False: gr.Image would open the file itself, and fail on a damaged one without telling what to
    # do; gr.Dropdown would refuse a model that was trained after the start. `look` checks both.
    model: dict[str, Any] = {
        "preprocess": False, "concurrency_id": MODEL, "concurrency_limit": 1, "show_progress_on": [decision],
        "trigger_mode": "always_last",  # what comes while maps are still drawn waits, and is not dropped
    }  # fmt: skip
    chosen = [category, opacity, own]
    looked = [
        gr.on(
            [button.click, image.upload], run, [image, *chosen], outputs, api_name="inspect", api_description=ENDPOINT,
            **model,
        ),
        # One round trip for the picture and its verdict: two would cost the visitor another 0.2 s.
        gallery.select(pick, chosen, [image, truth, *outputs], api_visibility="private", **model),
        test_gallery.select(
            pick_test, [*chosen, defect_type, page], [image, truth, *outputs], api_visibility="private", **model
        ),
    ]  # fmt: skip
    for event in looked:
        event.success(js=SHOW_VERDICT)
        event.failure(nothing, None, pictures, **QUICK)  # the last verdict is not that of the image in view
    image.upload(lambda: gr.Image(value=None, visible=False), None, truth, **QUICK)
    image.clear(nothing, None, pictures, cancels=looked, **QUICK)
    image.clear(lambda: gr.Image(value=None, visible=False), None, truth, **QUICK)

    moved = [shown, threshold, opacity]
    wire([threshold, opacity], judge, moved, judgement)
    reset.click(back, shown, threshold, **QUICK).then(judge, moved, judgement, **QUICK)
    prepare.click(pack, moved, download, api_visibility="private")

    changed = {"fn": enter, "inputs": category, "outputs": [gallery, *shelf_outputs], **QUICK}
    category.input(nothing, None, pictures, **QUICK).then(**changed)
    tile_row.select(choose, own, category, **QUICK).then(nothing, None, pictures, **QUICK).then(**changed)

    def first(category: str | None, defect_type: str | None) -> tuple[Any, ...]:
        return first_page(category, data, defect_type)

    def turn(category: str | None, defect_type: str | None, page: float) -> Any:
        return browse(category, data, defect_type, page)

    gr.on([shelf.expand, defect_type.input], first, [category, defect_type], [page, test_gallery], **QUICK)
    page.release(turn, [category, defect_type, page], test_gallery, **QUICK)
    page_outputs = [category, button, untrained, tile_row, gallery, *shelf_outputs]
    gr.on([demo.load, own.change], refresh, [category, own], page_outputs, **QUICK)


def _strip(name: str, columns: int) -> gr.Gallery:
    return gr.Gallery(
        label=name.capitalize(), show_label=False, columns=columns, object_fit="cover", allow_preview=False,
        interactive=False, buttons=[], visible=name == "tests", elem_id=name, elem_classes="strip",
    )  # fmt: skip


def _map(name: str, text: str) -> gr.Plot:
    with gr.Column(min_width=230):
        plot = gr.Plot(label=name, elem_id=name.lower())
        gr.Markdown(text)
    return plot
