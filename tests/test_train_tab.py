"""Train your own: from uploads to a model of the session, and nothing left behind by what fails or is stopped."""

from __future__ import annotations

import app  # first: it sets the environment flags that gradio reads when it is imported

# isort: split
import dataclasses
import shutil
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from efficientad import checkpoint, pipeline
from efficientad.checkpoint import Card, load_model, save_model
from efficientad.config import TrainConfig
from efficientad.detector import Detector
from efficientad.ui import api, build, gpu, train_tab, training
from efficientad.ui.training import Order, forget
from efficientad.zoo import Zoo

from .conftest import TINY, TinyWorld, dots

STEPS = {"washer": 4, "endless": 1_000_000, "widget": 4}


@pytest.fixture
def zoo(tiny: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """Without models; trainings take four steps with the random teacher, "endless" ones do not end."""

    def configure(name: str, minutes: float, device: torch.device) -> TrainConfig:
        return dataclasses.replace(TINY, category=name, steps=STEPS[name])

    monkeypatch.setattr(training, "configure", configure)
    monkeypatch.setattr(train_tab, "POLL", 0.05)
    monkeypatch.setattr(pipeline, "PRETRAINED", tiny.teacher.parent)
    monkeypatch.setattr(checkpoint, "PRETRAINED", tiny.teacher.parent)
    return Zoo(pretrained_dir=tmp_path / "none")


@pytest.fixture
def quick(tiny: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of training, `steps` reports, and the model of the tiny world."""
    model, card = load_model(tiny.model)

    def train_category(config: TrainConfig, *, good: Any, penalty: Any, out: Path, report: Any, **_: Any) -> Card:
        for step in range(1, config.steps + 1):
            report("training", {"step": step, "steps": config.steps, "seconds": step / 10, "hard": 1 / step})
            time.sleep(0.01)
        made = dataclasses.replace(
            card, category=config.category, good_images=len(good), penalty_images=len(penalty)
        )  # fmt: skip
        save_model(model, made, out)
        return made

    monkeypatch.setattr(training, "train_category", train_category)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


@pytest.fixture
def order(tiny: TinyWorld, tmp_path: Path) -> Order:
    defective = tmp_path / "defective.png"
    picture = dots(np.random.default_rng(5))
    picture[40:60, 40:60] = (255, 0, 0)
    Image.fromarray(picture).save(defective)
    return Order("washer", tiny.good, [defective], 10, tiny.penalty)


def changed(order: Order, **changes: Any) -> Order:
    return dataclasses.replace(order, **changes)


def refusal(zoo: Zoo, order: Order, room: Path) -> str:
    """The sentence that an order is refused with; nothing may be left in `room`."""
    with pytest.raises(gr.Error) as refused:
        list(train_tab.train(zoo, order, room, {}))
    assert list(room.iterdir()) == []
    return refused.value.message


# ---------------------------------------------------------------- without a server


def test_photos_become_a_model_of_the_session(zoo: Zoo, order: Order, room: Path) -> None:
    *_, last = train_tab.train(zoo, order, room, {})
    result = last.result
    own = {"washer": result.path}
    assert [path for path in room.rglob("*") if path.is_file()] == [result.path]
    assert result.path.name == "washer.safetensors" and zoo.categories(own) == ["washer"]
    assert (result.card.good_images, result.card.penalty_images, result.card.steps) == (10, 2, 4)
    assert len(result.good) == 10 and len(result.defective) == 1
    prediction = Detector.load(result.path).predict(order.defective[0])
    assert prediction.category == "washer" and prediction.score == pytest.approx(result.defective[0])
    assert train_tab.preview(result).visible and "of 1** defective photos" in train_tab.summary(result)
    assert {trace.name for trace in train_tab.loss_curve(last.losses).data} == set(train_tab.LOSSES)
    assert zoo.fit("washer", prediction.summary, own).best == "washer"
    forget(own)
    assert list(room.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_zip_without_penalty_and_defective_photos(zoo: Zoo, order: Order, room: Path, tmp_path: Path) -> None:
    packed = tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for i, path in enumerate(order.good):
            archive.write(path, f"{i % 2}/{i // 2}.png")  # equal names in two folders
    *_, last = train_tab.train(zoo, changed(order, good=[packed], defective=[], penalty=None), room, {})
    assert (last.result.card.good_images, last.result.card.penalty_images) == (10, 0)
    assert "**no penalty images**" in train_tab.summary(last.result)
    assert not train_tab.preview(last.result).visible


def test_closing_stops_the_training_and_leaves_nothing(zoo: Zoo, order: Order, room: Path) -> None:
    steps = train_tab.train(zoo, changed(order, name="endless"), room, {})
    for run in steps:
        bar = train_tab.progress(run)
        if "Training: step" in bar:
            break
    assert "of 1,000,000" in bar and "minutes left" in bar
    steps.close()
    run.join(20)
    assert not run.is_alive() and isinstance(run.error, training.StoppedError)
    assert list(room.iterdir()) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stage", ["photos", "training", "scores"])
def test_a_training_can_be_stopped_at_every_stage(zoo: Zoo, order: Order, room: Path, stage: str) -> None:
    folder = room / "run"
    folder.mkdir()

    def report(at: str, row: dict[str, float]) -> None:
        if at == stage:
            raise training.StoppedError

    with pytest.raises(training.StoppedError):
        training.make(zoo, order, folder, room, report)
    assert list(room.iterdir()) == [folder]  # the thread removes its own


@pytest.mark.parametrize("name", ["", "a b", "../x", "größe", "x" * 41, "a/b", "a\n", None])
def test_bad_names(zoo: Zoo, order: Order, room: Path, name: Any) -> None:
    assert "Name the product" in refusal(zoo, changed(order, name=name), room)


def test_other_refusals(zoo: Zoo, tiny: TinyWorld, order: Order, room: Path, tmp_path: Path) -> None:
    assert "'teacher_'" in refusal(zoo, changed(order, name="teacher_x"), room)
    taken = train_tab.train(Zoo(pretrained_dir=tiny.model.parent), changed(order, name="Dots"), room, {})
    with pytest.raises(gr.Error, match="a category 'Dots' already"):
        next(taken)
    with pytest.raises(gr.Error, match="a category 'washer' already"):
        next(train_tab.train(zoo, order, room, {"washer": tiny.model}))
    for minutes in (0, 61, float("nan"), "10", None):
        assert "1 to 60 minutes" in refusal(zoo, changed(order, minutes=minutes), room)
    assert "Upload photos" in refusal(zoo, changed(order, good=[]), room)
    same = [order.good[0], *order.good[:9]]
    assert refusal(zoo, changed(order, good=same), room).startswith("9 different photos")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    for change in ({"good": [*order.good, broken]}, {"defective": [broken]}):
        sentence = refusal(zoo, changed(order, **change), room)
        assert sentence.startswith("broken.png: The image") and str(tmp_path) not in sentence


def test_no_room_on_the_disk(zoo: Zoo, order: Order, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "OUTPUT_BYTES", 1 << 50)
    assert "has no room" in refusal(zoo, order, room)


def test_time_left() -> None:
    assert [train_tab.left(s) for s in (5, 65, 400)] == ["less than a minute", "about a minute", "about 7 minutes"]


def test_the_time_is_the_budget() -> None:
    config = training.configure("washer", 7, torch.device("cpu"))
    assert (config.category, config.minutes, config.steps) == ("washer", 7.0, None)


# ---------------------------------------------------------------- with a server


@pytest.mark.usefixtures("quick")
def test_endpoint(
    zoo: Zoo,
    order: Order,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train_tab.tempfile, "mkdtemp", _noted(made := [], train_tab.tempfile.mkdtemp))
    demo = build(zoo, penalty=order.penalty, training=True)
    room = Path(made[0])
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_name="127.0.0.1")
    try:
        client = Client(address, verbose=False, analytics_enabled=False, download_files=str(tmp_path / "got"))
        photos = [handle_file(path) for path in order.good]
        arguments = {"good": photos, "minutes": 5, "api_name": "/train"}
        with pytest.raises(AppError, match="Name the product"):
            client.predict(name="no spaces", **arguments)
        with pytest.raises(AppError, match="too few"):
            client.predict(name="washer", **{**arguments, "good": photos[:3]})
        assert list(room.iterdir()) == []
        job = client.submit(name="endless", **arguments)
        _wait(lambda: list(room.rglob("009")))  # the last photo; then it trains without end
        job.cancel()
        _wait(lambda: not list(room.iterdir()))
        model, text, *_ = client.predict(name="washer", defective=[handle_file(order.defective[0])], **arguments)
        assert Detector.load(model).category == "washer" and "washer is ready" in text
        decision, *_ = client.predict(image=handle_file(order.good[0]), category="washer", api_name="/inspect")
        assert decision["category"] == "washer"
        (tmp_path / "good").mkdir()
        for i, path in enumerate(order.good):
            shutil.copy(path, tmp_path / "good" / f"{i:03}.png")
        monkeypatch.chdir(tmp_path)
        exec(api.TRAINING.format(), {"client": client, "handle_file": handle_file})
        assert "widget is ready" in capsys.readouterr().out
        other = Client(address, verbose=False, analytics_enabled=False)
        with pytest.raises(AppError, match="no trained model"):
            other.predict(image=handle_file(order.good[0]), category="washer", api_name="/inspect")
    finally:
        demo.close()


def _noted(made: list[str], function: Any) -> Any:
    def noting(*args: Any, **kwargs: Any) -> str:
        made.append(function(*args, **kwargs))
        return made[-1]

    return noting


def _wait(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---------------------------------------------------------------- app.py


class Page:
    def __init__(self, zoo: Zoo, **arguments: Any) -> None:
        self.arguments = arguments

    def launch(self, **_: Any) -> None:
        Page.launched = self.arguments


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs app.py with options and an environment; returns the arguments of the page that it launched."""

    def run(*options: str, **environment: str) -> dict[str, Any]:
        for name in ("SPACE_ID", "EFFICIENTAD_DATA", "EFFICIENTAD_PENALTY", "EFFICIENTAD_TRAINING"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["app.py", *options])
        monkeypatch.setattr(app, "build", Page)
        monkeypatch.setattr(app, "demo", Page(Zoo(), **app.configured()))
        app.main()
        return Page.launched

    return run


def test_switches(start: Any, tiny: TinyWorld, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tiny.penalty)
    assert start() == {"data": None, "penalty": None, "training": False}
    assert start("--allow-training", "--penalty", folder) == {"data": None, "penalty": tiny.penalty, "training": True}
    by_environment = start(EFFICIENTAD_TRAINING="1", EFFICIENTAD_PENALTY=folder)
    assert by_environment == {"data": None, "penalty": tiny.penalty, "training": True}
    assert not start(EFFICIENTAD_TRAINING="0")["training"]
    assert not start(SPACE_ID="me/space")["training"]
    assert start(SPACE_ID="me/space", EFFICIENTAD_TRAINING="1")["training"]
    for options, environment, sentence in (
        (["--allow-training"], {"SPACE_ID": "me/space"}, "set EFFICIENTAD_TRAINING=1"),
        (["--penalty", folder + "/none"], {}, "is not a folder"),
    ):
        with pytest.raises(SystemExit) as stopped:
            start(*options, **environment)
        assert stopped.value.code == 2 and sentence in capsys.readouterr().err


def test_the_tab_is_there_only_if_allowed(zoo: Zoo) -> None:
    def tabs(page: gr.Blocks) -> set[str]:
        return {block.id for block in page.blocks.values() if isinstance(block, gr.Tab)}

    assert tabs(build(zoo, training=True)) - tabs(build(zoo)) == {"train"}


def test_on_zerogpu_training_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert gpu.training_device() == torch.device("cpu")
