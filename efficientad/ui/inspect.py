"""The Inspect tab: one image in; verdict, overlay and maps out."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from efficientad.detector import Prediction
from efficientad.errors import InputError
from efficientad.images import load_image
from efficientad.plots import VMAX, colorize, overlay
from efficientad.ui import examples, uploads
from efficientad.zoo import Zoo

MODEL = "model"  # concurrency group of every event that runs a model: one at a time, on all cores
PHOTO = 1280  # longest sides, in pixels, of what the browser gets: the original and its overlay,
MAP = 640  # the maps, which come from 64 x 64 cells,
THUMBNAIL = 192  # and the examples
UNTRAINED = (
    "**There is no trained model yet:** train one on photos of good parts, then reload this page: "
    "`python -m efficientad train --config efficientad/configs/bottle.yaml --data path/to/mvtec_ad`"
)
IDLE = '<p class="verdict idle">The verdict appears here once an image is inspected.</p>'
GUIDE = """The **structural map** (student–teacher) reacts to local damage: scratches, dents, contamination.

The **logical map** (student–autoencoder) reacts to wrong arrangement: parts missing, misplaced or too many.

The **combined map** is their mean. Its maximum is the **image score**: above the threshold, the part is
*defective*. The overlay outlines where the combined map exceeds the threshold.

The colour scale is the same for every image of a category, so a good part stays dark. The triangle on the
scale marks the image score."""
# The element outlives its content, and so screen readers announce every new verdict.
LIVE = "element.setAttribute('role', 'status'); element.setAttribute('aria-atomic', 'true')"
SHOW_VERDICT = "() => document.getElementById('verdict').scrollIntoView({block: 'nearest'})"
ENDPOINT = (
    "Inspect one image. The first value is the decision: category, score, threshold, defective, "
    "milliseconds; then verdict, original, overlay, combined, structural and logical map, legend."
)
Pictures = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


# ---------------------------------------------------------------- what the page shows, without a server


def report(prediction: Prediction) -> dict[str, str | float | bool]:
    """The decision as JSON: the first value of the endpoint /inspect."""
    return {
        "category": prediction.category,
        "score": round(float(prediction.score), 4),
        "threshold": round(float(prediction.threshold), 4),
        "defective": bool(prediction.defective),
        "milliseconds": round(float(prediction.milliseconds), 1),
    }


def verdict(prediction: Prediction) -> str:
    """The decision in words, as HTML; colour and icon only repeat what the words say."""
    kind, icon, relation = ("defective", "✕", "above") if prediction.defective else ("good", "✓", "not above")
    score, threshold = _distinct(prediction.score, prediction.threshold)
    return (
        f'<div class="verdict {kind}">'
        f'<p class="word"><span aria-hidden="true">{icon}</span> {kind.capitalize()}</p>'
        f"<p>This {escape(prediction.category.replace('_', ' '))} is {kind}: "
        f"its score {score} is {relation} the threshold {threshold}.</p>"
        f"<dl><div><dt>Score</dt><dd>{score}</dd></div><div><dt>Threshold</dt><dd>{threshold}</dd></div>"
        f"<div><dt>Time</dt><dd>{prediction.milliseconds:.0f} ms</dd></div></dl></div>"
    )


def legend(prediction: Prediction) -> str:
    """The colour scale of the maps, with the threshold and this image's score, as HTML."""
    top = _top(prediction)
    colours = ", ".join(f"rgb({r} {g} {b})" for r, g, b in colorize(np.linspace(0, 1, 17)[None])[0])
    score, threshold = _distinct(prediction.score, prediction.threshold)
    at = 100 * min(max(prediction.score / top, 0.0), 1.0)
    return (
        f'<div class="legend" role="img" aria-label="Colour scale from 0 (black) to {top:.3g} (pale yellow); '
        f'threshold {threshold}, score of this image {score}"><div class="bar" '
        f'style="background: linear-gradient(to right, {colours})"><i style="left: {at:.1f}%"></i></div>'
        f'<div class="ticks"><span>0</span><span>threshold {threshold}</span><span>{top:.3g}</span></div>'
        "</div>"
    )


def pictures(rgb: np.ndarray, prediction: Prediction) -> Pictures:
    """Original, overlay, combined, structural and logical map, each (h, w, 3) uint8.

    rgb: (H, W, 3) uint8, the inspected image. Large ones come back smaller: h, w <= 1280, of the maps 640.
    """
    photo = np.ascontiguousarray(_thin(rgb, PHOTO))
    heat = overlay(photo, _thin(prediction.anomaly_map, PHOTO), prediction.threshold)
    combined, structural, logical = (
        colorize(_thin(values, MAP), 0, _top(prediction))
        for values in (prediction.anomaly_map, prediction.structural_map, prediction.logical_map)
    )
    return photo, heat, combined, structural, logical


def inspect(zoo: Zoo, image: str | None, category: str | None) -> tuple[Any, ...]:
    """All outputs of one inspection: report, verdict, pictures, legend. Raises gr.Error for bad input.

    image: path of the upload.
    """
    try:
        if not category:
            raise InputError("Choose a category first; if there is none, train a model and reload this page.")
        if not image:
            raise InputError("Upload an image first, or pick an example.")
        rgb = load_image(Path(image).read_bytes())  # bytes: errors must not name the server's temporary file
        prediction = zoo.predict(category, rgb)
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return report(prediction), verdict(prediction), *pictures(rgb, prediction), legend(prediction)


def nothing() -> tuple[Any, ...]:
    """The outputs of `inspect` before there is a result."""
    return None, IDLE, None, None, None, None, None, ""


def offer(category: str | None, data: Path | None) -> Any:
    """The row of examples of a category; hidden if there are none."""
    found = examples.find(category, data) if category else []
    return gr.Gallery(
        [(_thumbnail(item.image()), item.caption) for item in found], visible=bool(found), selected_index=None
    )


def arrive(zoo: Zoo, data: Path | None, category: str | None) -> tuple[Any, ...]:
    """What a freshly opened page shows: a model may have been trained since the app started."""
    categories = zoo.categories()
    chosen = category if category in categories else next(iter(categories), None)
    return (
        gr.Dropdown(choices=categories, value=chosen),
        gr.Button(interactive=bool(categories)),
        gr.Markdown(visible=not categories),
        offer(chosen, data),
    )


def _thin(values: np.ndarray, longest: int) -> np.ndarray:
    """Every n-th row and column, so that neither side is longer than that."""
    step = -(-max(values.shape[:2]) // longest)
    return values[::step, ::step]


def _top(prediction: Prediction) -> float:
    """The upper end of the colour scale, the one that `overlay` uses."""
    return VMAX * max(prediction.threshold, 1e-6)


def _distinct(score: float, threshold: float) -> tuple[str, str]:
    """Both with as many digits, at least 3, as it takes to tell them apart."""
    digits = next((n for n in range(3, 7) if f"{score:.{n}f}" != f"{threshold:.{n}f}"), 6)
    return f"{score:.{digits}f}", f"{threshold:.{digits}f}"


def _thumbnail(rgb: np.ndarray) -> Image.Image:
    picture = Image.fromarray(rgb)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture


# ---------------------------------------------------------------- layout and wiring


def layout(demo: gr.Blocks, zoo: Zoo, data: Path | None) -> None:
    """Place the tab in the current context. Endpoint: /inspect(image, category)."""
    categories = zoo.categories()
    untrained = gr.Markdown(UNTRAINED, visible=not categories, elem_id="untrained")
    with gr.Row(equal_height=True):
        with gr.Column(scale=1, min_width=300):
            category = gr.Dropdown(categories, label="Category", elem_id="category")
        with gr.Column(scale=2, min_width=300):
            gallery = gr.Gallery(
                label="Examples", show_label=False, columns=examples.LIMIT, object_fit="cover",
                allow_preview=False, interactive=False, buttons=[], visible=False, elem_id="examples",
            )  # fmt: skip
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            image = gr.Image(
                type="filepath", image_mode=None, format="png", sources=["upload", "clipboard"],
                label="Image", height=320, buttons=[], elem_id="image",
            )  # fmt: skip
            button = gr.Button("Inspect", variant="primary", interactive=bool(categories), elem_id="inspect")
            with gr.Accordion("How to read the maps", open=False):
                gr.Markdown(GUIDE)
        with gr.Column(scale=2, min_width=300):
            decision = gr.HTML(IDLE, js_on_load=LIVE, elem_id="verdict")
            with gr.Column(elem_classes="pictures"):
                with gr.Row():
                    original = _picture("Original", "The inspected image")
                    heat = _picture("Overlay", "The combined map over the image, outlined above the threshold")
                with gr.Row():
                    combined = _picture("Combined", "Combined map: mean of structural and logical map", True)
                    structural = _picture("Structural", "Structural map, student–teacher: local damage", True)
                    logical = _picture("Logical", "Logical map, student–autoencoder: wrong arrangement", True)
                scale = gr.HTML()
                with gr.Accordion("As JSON", open=False):
                    decided = gr.JSON(show_label=False)

    outputs = [decided, decision, original, heat, combined, structural, logical, scale]

    def run(image: dict[str, Any] | None, category: str | None) -> tuple[Any, ...]:
        return inspect(zoo, uploads.path_of(image), category)

    def pick(category: str, event: gr.SelectData) -> np.ndarray:
        return examples.find(category, data)[event.index].image()

    def show_examples(category: str | None) -> Any:
        return offer(category, data)

    def refresh(category: str | None) -> tuple[Any, ...]:
        return arrive(zoo, data, category)

    # preprocess=False: gr.Image would open the file itself, and fail on a damaged one without telling what to
    # do; gr.Dropdown would refuse a model that was trained after the start. `inspect` checks both.
    model: dict[str, Any] = {
        "fn": run, "inputs": [image, category], "outputs": outputs, "preprocess": False,
        "concurrency_id": MODEL, "concurrency_limit": 1, "show_progress_on": [decision],
    }  # fmt: skip
    quick: dict[str, Any] = {"api_visibility": "private", "queue": False}
    asked = gr.on([button.click, image.upload], **model, api_name="inspect", api_description=ENDPOINT)
    picked = gallery.select(pick, category, image, api_visibility="private").success(**model, api_visibility="private")
    for event in (asked, picked):
        event.success(js=SHOW_VERDICT)
        event.failure(nothing, None, outputs, **quick)  # the last verdict is not that of the image in view
    image.clear(nothing, None, outputs, **quick)
    category.input(nothing, None, outputs, **quick).then(show_examples, category, gallery, **quick)
    demo.load(refresh, category, [category, button, untrained, gallery], **quick)


def _picture(label: str, alt_text: str, small: bool = False) -> gr.Image:
    return gr.Image(
        label=label, alt_text=alt_text, format="png", interactive=False, min_width=90 if small else 240,
        buttons=["fullscreen"] if small else ["download", "fullscreen"],
    )  # fmt: skip
