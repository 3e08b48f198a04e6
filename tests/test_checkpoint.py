import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from efficientad.checkpoint import load_model, load_teacher, save_model, save_teacher
from efficientad.detector import Detector
from efficientad.errors import InputError
from efficientad.nets import CHANNELS, EfficientAD, pdn

from .conftest import TinyWorld, dots


def test_save_and_load_give_the_same_scores_bit_for_bit(tiny: TinyWorld, tmp_path: Path) -> None:
    model, card = load_model(tiny.model)
    copy = tmp_path / "copy.safetensors"
    save_model(model, card, copy)
    assert copy.read_bytes() == tiny.model.read_bytes()
    again, again_card = load_model(copy, teacher=tiny.teacher)
    assert dataclasses.replace(again_card, domain=card.domain) == card
    cpu = torch.device("cpu")
    image = dots(np.random.default_rng(3))
    first, second = Detector(model, card, cpu).predict(image), Detector(again, again_card, cpu).predict(image)
    assert first.score == second.score
    assert np.array_equal(first.anomaly_map, second.anomaly_map)


def test_the_threshold_was_calibrated_with_the_stored_weights(tiny: TinyWorld) -> None:
    from efficientad.calibrate import calibrate
    from efficientad.data import split_good
    from efficientad.pipeline import maps, read

    model, card = load_model(tiny.model)
    held_out = split_good(tiny.good, seed=42)[1]
    found = maps(model, read(held_out, "good"))
    assert calibrate(found.structural, found.logical, card.config["logical_weight"]) == card.calibration


def test_the_file_says_where_it_comes_from(tiny: TinyWorld) -> None:
    _, card = load_model(tiny.model)
    assert (card.category, card.size, card.good_images, card.penalty_images, card.steps) == ("dots", "S", 10, 2, 4)
    assert card.config["seed"] == 42
    assert len(card.data_hash) == len(card.teacher) == 64


def other_schema(tiny: TinyWorld, path: Path) -> None:
    with safe_open(tiny.model, "pt") as file:
        meta = json.loads(file.metadata()["efficientad"])
    save_file({"mean": torch.zeros(1)}, path, {"efficientad": json.dumps({**meta, "schema": 99})})


def wrong_tensors(tiny: TinyWorld, path: Path) -> None:
    with safe_open(tiny.model, "pt") as file:
        meta = file.metadata()
    save_file({"student.0.weight": torch.zeros(1), "mean": torch.zeros(1), "std": torch.zeros(1)}, path, meta)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tiny, path: None, "There is no model"),
        (lambda tiny, path: path.write_bytes(b""), "not a readable safetensors file"),
        (lambda tiny, path: path.write_bytes(tiny.model.read_bytes()[:5000]), "not a readable safetensors file"),
        (lambda tiny, path: path.write_text("hello, I am text" * 9), "not a readable safetensors file"),
        (lambda tiny, path: save_file({"x": torch.zeros(1)}, path), "is not a model of this program"),
        (lambda tiny, path: path.write_bytes(tiny.teacher.read_bytes()), "is not a model of this program"),
        (other_schema, "has schema 99"),
        (wrong_tensors, "do not fit the network"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tiny: TinyWorld, tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "dots.safetensors"
    (tmp_path / "teacher_s.safetensors").write_bytes(tiny.teacher.read_bytes())
    make(tiny, path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        Detector.load(path)


def test_another_teacher_is_refused(tiny: TinyWorld, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny.model, tmp_path / "dots.safetensors"))
    save_teacher(pdn("S", CHANNELS), tmp_path / "teacher_s.safetensors", {"size": "S"})
    with pytest.raises(InputError, match="is not beside it; put teacher_s"):
        load_model(path)
    with pytest.raises(InputError, match="is not the teacher that"):
        load_model(path, tmp_path / "teacher_s.safetensors")
    shutil.copy(tiny.teacher, tmp_path / "teacher_s-before.safetensors")
    load_model(path)  # found by its hash, beside a newer one
    save_teacher(pdn("M", CHANNELS), tmp_path / "teacher_m.safetensors", {"size": "M"})
    with pytest.raises(InputError, match="teacher of size M"):
        load_teacher(tmp_path / "teacher_m.safetensors", EfficientAD("S"))
