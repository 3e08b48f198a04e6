"""The Train tab: photos of good parts in; a model for this session, and its file, out."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from efficientad.archives import IMAGES
from efficientad.charts import DEFECTIVE, GOOD, MARK, bare, score_histogram
from efficientad.data import MIN_GOOD
from efficientad.errors import InputError
from efficientad.ui.events import QUICK
from efficientad.ui.training import MAX_MINUTES, MIN_MINUTES, Order, Trained, Training, check
from efficientad.ui.uploads import paths_of
from efficientad.ui.verdict import model_line
from efficientad.zoo import Own, Zoo

POLL = 1.0  # seconds between two looks at a training
MINUTES = 10
INTRODUCTION = f"""Upload **{MIN_GOOD} or more photos of good parts**, taken as the later ones will be: same camera,
distance, light and position. Every tenth photo is kept from training to set the threshold, so 50 photos judge better
than {MIN_GOOD}. Defective parts are not needed; photos of some show how well the model tells them apart. The model
belongs to you alone, until this page is closed or reloaded."""
NO_PENALTY = """**This server has no penalty photos.** A model trained without them may overlook defects; its file
says so. Whoever runs the server names a folder of natural photos with `--penalty DIR`."""
BESIDE = """The file goes into the folder `pretrained/` of a copy of this program, or anywhere with
`teacher_s.safetensors` of this server's `pretrained/` beside it."""
PREVIEW = """All photos that you uploaded, scored by the new model. The good ones were used to make it, so new good
parts will score somewhat higher than these."""
STAGES = {
    "waiting": "Waiting for another training to end",
    "photos": "Checking the photos",
    "good images": "Reading the good photos",
    "teacher": "The teacher describes the good photos",
    "penalty images": "Reading the penalty photos",
    "natural photos": "Learning what is no such product",
    "start": "Preparing the student, and measuring how many steps fit into the time",
    "logical head": "Fitting the logical head",
    "calibration": "Setting the threshold",
    "scores": "Scoring the photos",
}
LOSSES = {"hard": GOOD, "penalty": "#CC79A7", "autoencoder": MARK, "logical": DEFECTIVE}
ENDPOINT = (
    f"Train a model on photos of good parts: `good` are {MIN_GOOD} or more images or zips of them, `defective` are "
    "optional and only scored. The first value is the model's file; then the summary, the loss curve and the scores. "
    "Within the same client /inspect and /batch know the model by its `name`."
)


# ---------------------------------------------------------------- what the page shows, without a server


def train(zoo: Zoo, order: Order, room: Path, own: Own) -> Iterator[Training]:
    """The training, every second and at its end; closing the iterator stops it. Raises gr.Error for bad input.

    room: existing folder, for the run and the model.
    """
    try:
        check(order, zoo.categories(own))
        training = Training(zoo, order, room)
        training.start()
        try:
            while training.is_alive():
                yield training
                training.join(POLL)
            if training.error:
                raise training.error
            yield training
        finally:
            training.stopped.set()
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from error


def progress(training: Training) -> str:
    """How far it is, as HTML."""
    stage, done = training.at
    step, steps = int(done["step"]), int(done["steps"])
    if stage == "training":
        text = f"Training: step {step:,} of {steps:,}, {left(done['seconds'] / step * (steps - step))} left"
    else:
        text = f"{STAGES[stage]}: {step} of {steps}" if steps > 1 else STAGES[stage]
    return f'<label>{text} <progress max="{steps}" value="{step}" style="width: 100%"></progress></label>'


def left(seconds: float) -> str:
    """400 -> 'about 7 minutes'."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return "about a minute" if minutes == 1 else f"about {minutes} minutes"


def loss_curve(rows: list[dict[str, float]]) -> go.Figure:
    """The parts of the loss, means over 50 steps each; `rows` are those of the log."""
    figure = bare()
    for name, colour in LOSSES.items():
        points = [(row["step"], row[name]) for row in rows if name in row]
        if points:
            x, y = zip(*points, strict=True)
            figure.add_scatter(
                x=x, y=y, mode="lines+markers", name=name, line={"color": colour, "width": 2}, marker={"size": 4},
                hovertemplate="step %{x}<br>%{y:.4f}<extra>" + name + "</extra>",
            )  # fmt: skip
    figure.update_layout(margin={"t": 48})
    figure.update_xaxes(title="step")
    figure.update_yaxes(title="loss", type="log")
    return figure


def summary(result: Trained) -> str:
    """What was made, as Markdown."""
    name, threshold = result.card.category, result.card.calibration.threshold
    text = f"**{name} is ready**: choose it as the category in the other tabs. {model_line(result.card)}"
    if len(result.defective):
        found, alarms = (result.defective > threshold).sum(), (result.good > threshold).sum()
        text += (
            f"\n\nAt its threshold {threshold:.3f} it finds **{found} of {len(result.defective)}** defective photos, "
            f"and calls {alarms} of {len(result.good)} good ones defective."
        )
    return text


def preview(result: Trained) -> Any:
    """The scores of good and defective photos about the threshold; hidden if there were no defective ones."""
    if not len(result.defective):
        return gr.Plot(visible=False)
    figure = score_histogram(result.good, result.defective, result.card.calibration.threshold)
    return gr.Plot(figure, visible=True)


# ---------------------------------------------------------------- layout and wiring


def layout(demo: gr.Blocks, zoo: Zoo, penalty: Path | None, own: gr.State) -> None:
    """Place the tab in the current context. Endpoint: /train(good, name, minutes, defective).

    penalty: folder of natural photos. own: the models that the session has trained, which gets another one.
    """
    room = Path(tempfile.mkdtemp(prefix="efficientad-"))
    weakref.finalize(demo, shutil.rmtree, room, ignore_errors=True)  # also when the server ends
    types = [*IMAGES, ".zip"]
    gr.Markdown(INTRODUCTION)
    if penalty is None:
        gr.Markdown(NO_PENALTY, elem_id="no-penalty")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            good = gr.File(
                file_count="multiple", file_types=types, label="Photos of good parts, or a zip of them", height=200,
                elem_id="train-good",
            )  # fmt: skip
            name = gr.Textbox(label="Name of the product", max_lines=1, max_length=40, elem_id="train-name")
            minutes = gr.Slider(
                MIN_MINUTES, MAX_MINUTES, MINUTES, step=1, label="Minutes of training",
                info="Reading the photos comes on top.",
            )  # fmt: skip
            defective = gr.File(
                file_count="multiple", file_types=types, label="Optional: photos of defective parts", height=140,
                elem_id="train-defective",
            )  # fmt: skip
            with gr.Row():
                button = gr.Button("Train", variant="primary", elem_id="train-run")
                cancel = gr.Button("Cancel", variant="stop", elem_id="train-cancel")
        with gr.Column(scale=2, min_width=300):
            bar = gr.HTML(elem_id="train-progress")
            curve = gr.Plot(label="Loss", visible=False, elem_id="train-loss")
            sentence = gr.Markdown(elem_id="train-summary")
            with gr.Column(visible=False) as findings:
                download = gr.DownloadButton("Model (.safetensors)", variant="primary", elem_id="train-model")
                gr.Markdown(BESIDE)
                scores = gr.Plot(label="Scores of your photos", visible=False, elem_id="train-scores")
                explained = gr.Markdown(PREVIEW, visible=False)

    outputs = [download, sentence, curve, scores, bar, findings, explained, own]

    def run(
        good: list[dict[str, Any]] | None,
        name: str | None,
        minutes: float,
        own: Own,
        defective: list[dict[str, Any]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        order = Order(name or "", paths_of(good), paths_of(defective), minutes, penalty)
        yield nothing()
        drawn = 0
        for training in train(zoo, order, room, own):
            plot = gr.skip()
            if len(training.losses) > drawn:
                drawn = len(training.losses)
                plot = gr.Plot(loss_curve(training.losses), visible=True)
            if training.result is None:
                yield gr.skip(), gr.skip(), plot, gr.skip(), progress(training), gr.skip(), gr.skip(), gr.skip()
        result = training.result
        assert result is not None, "it has ended without an error"
        yield (
            str(result.path), summary(result), loss_curve(training.losses), preview(result), "",
            gr.Column(visible=True), gr.Markdown(visible=bool(len(result.defective))),
            {**own, result.card.category: result.path},
        )  # fmt: skip

    def nothing() -> tuple[Any, ...]:
        hidden = gr.Plot(None, visible=False)
        return None, "", hidden, hidden, "", gr.Column(visible=False), gr.Markdown(visible=False), gr.skip()

    def cancelled() -> tuple[Any, ...]:
        values = list(nothing())
        values[1] = "Cancelled; nothing is kept."
        return tuple(values)

    # preprocess=False: gr.File would refuse an unusual ending; `check` and `unpack` look at everything.
    ran = button.click(
        run, [good, name, minutes, own, defective], outputs, preprocess=False, concurrency_id="training",
        concurrency_limit=1, show_progress_on=[bar], api_name="train", api_description=ENDPOINT,
    )  # fmt: skip
    ran.failure(nothing, None, outputs, **QUICK)
    cancel.click(cancelled, None, outputs, cancels=[ran], **QUICK)
