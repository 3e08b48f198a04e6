"""The Inspect tab without a browser: what is shown, what another threshold changes, and what it does not run again."""

from __future__ import annotations

import app  # noqa: F401 - first: it sets the environment flags that gradio reads when it is imported

# isort: split
import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from efficientad.detector import Prediction
from efficientad.domain import Domain, Fit
from efficientad.images import load_image
from efficientad.results import Results
from efficientad.ui import examples, inspect, shelves, uploads
from efficientad.ui.shown import Shown
from efficientad.ui.threshold import slider
from efficientad.ui.verdict import legend, meaning, report, verdict
from efficientad.zoo import Zoo

THRESHOLD = 0.3
DOMAIN = Domain(torch.zeros(768), 1.0, torch.zeros(1, 768), 1.0, 2.5)  # everything fits
FITS = Fit(True, 1.0, 1.5, "metal_nut")


def prediction(values: np.ndarray, category: str = "metal_nut") -> Prediction:
    score = float(values.max())
    maps = [values.astype(np.float32), values.astype(np.float32) * 2, values.astype(np.float32) * 0]
    return Prediction(category, score, THRESHOLD, score > THRESHOLD, *maps, torch.zeros(768), 12.34)


def shown(values: np.ndarray) -> Shown:
    return Shown.of(np.full((*values.shape, 3), 90, np.uint8), prediction(values), FITS)


@pytest.fixture
def results() -> Results:
    rows = [("metal_nut", score, score > 0.5) for score in (0.1, 0.2, 0.4, 0.6, 0.8)]
    images = pd.DataFrame(rows, columns=["category", "score", "defective"])
    return Results(pd.DataFrame(), images, pd.DataFrame())


def test_report_is_plain_json() -> None:
    decision = report("metal_nut", np.float32(0.61), 0.3, 12.34, FITS)
    assert json.loads(json.dumps(decision)) == {
        "category": "metal_nut", "score": 0.61, "threshold": 0.3, "defective": True, "milliseconds": 12.3,
        "fits_category": True, "best_category": "metal_nut",
    }  # fmt: skip


def test_verdict_says_it_in_words() -> None:
    bad, good = (verdict("metal_nut", score, 0.3, 12.34, FITS) for score in (0.61, 0.1))
    assert "This metal nut is defective: its score 0.610 is above the threshold 0.300." in bad
    assert "This metal nut is good: its score 0.100 is not above the threshold 0.300." in good
    assert "12 ms" in bad and "+0.310" in bad and "-0.200" in good


def test_an_image_of_something_else_is_doubted() -> None:
    text = verdict("pill", 0.61, 0.3, 12.34, Fit(False, 6.0, 2.0, "metal_nut"))
    assert "Is this pill?" in text and "3.0 times" in text and "It looks more like metal nut" in text
    assert "doubt" not in verdict("pill", 0.61, 0.3, 12.34, FITS)
    assert "looks more" not in verdict("pill", 0.61, 0.3, 12.34, Fit(False, 6.0, 2.0, "pill"))


def test_verdict_keeps_close_numbers_apart_and_escapes_names() -> None:
    text = verdict("<b>", 0.30004, 0.3, 1, FITS)
    assert "score 0.30004 is above the threshold 0.30000" in text
    assert "<b>" not in text and "&lt;b&gt;" in text


def test_legend_marks_score_and_threshold_within_the_scale() -> None:
    assert '<i style="left: 100.0%"></i><b style="left: 50.0%"></b>' in legend(9.0, 0.3, 0.6)
    assert '<i style="left: 0.0%"></i><b style="left: 75.0%"></b>' in legend(-1.0, 0.45, 0.6)


def test_meaning_counts_the_stored_scores(results: Results) -> None:
    text = meaning(0.3, results.scores("metal_nut"))
    assert "**100.0 %** of 2 defective" in text and "**33.3 %** of 3 good" in text
    assert "no stored evaluation" in meaning(0.3, results.scores("pill"))


def test_another_threshold_changes_verdict_and_outline_but_not_the_colours(results: Results) -> None:
    values = np.full((50, 70), 0.1)
    values[10:20, 10:20] = 0.4
    values[30:40, 30:50] = 0.28
    here = shown(values)
    first, second = (inspect.judged(here, threshold, 0.5, results) for threshold in (0.3, 0.2))
    assert first[0]["defective"] and "<dd>0.200</dd>" in second[1]
    assert not inspect.judged(here, 0.41, 0.5, results)[0]["defective"]
    changed = (first[2][1] != second[2][1]).any(axis=2)
    assert changed[30:40, 30:50].any()  # is outlined now
    assert not changed[31:39, 31:49].any() and not changed[10:20, 10:20].any()  # and otherwise looks as it did
    assert "33.3 %" in first[4] and "**33.3 %** of 3 good" in second[4]


def test_opacity_zero_leaves_only_the_outline() -> None:
    values = np.zeros((40, 40))
    values[10:20, 10:20] = 0.5
    picture = shown(values).overlay(THRESHOLD, 0.0)
    assert (picture[11:19, 11:19] == 90).all() and (picture[10, 10:20] == (0, 255, 255)).all()


def test_maps_share_one_absolute_scale() -> None:
    figures = inspect.maps(shown(np.full((50, 70), 0.2)))
    assert [(figure.data[0].zmin, figure.data[0].zmax) for figure in figures] == [(0, 2 * THRESHOLD)] * 3
    assert [round(float(figure.data[0].z[0, 0]), 3) for figure in figures] == [0.2, 0.4, 0.0]


def test_large_photos_are_shown_smaller() -> None:
    large = Shown.of(np.zeros((1300, 2600, 3), np.uint8), prediction(np.zeros((1300, 2600))), FITS)
    assert large.photo.shape[:2] == large.anomaly_map.shape == (434, 867)
    assert large.combined.shape == (62, 124)


def test_the_download_holds_the_map_and_says_its_scale() -> None:
    values = np.linspace(-0.1, 0.7, 3500).reshape(50, 70)
    here = shown(values)
    archive = zipfile.ZipFile(io.BytesIO(here.archive(0.2, 0.5)))
    assert np.array_equal(np.load(io.BytesIO(archive.read("anomaly_map.npy"))), here.anomaly_map)
    facts = json.loads(archive.read("decision.json"))
    assert facts["threshold"] == 0.2 and facts["model_threshold"] == 0.3 and facts["defective"]
    deep = np.asarray(Image.open(io.BytesIO(archive.read("anomaly_map.png")))).astype(float)
    assert np.abs(deep / 65535 * 0.6 - values.clip(0, 0.6)).max() < 1e-5
    overlay = load_image(archive.read("overlay.png"))
    assert np.array_equal(overlay, here.overlay(0.2, 0.5))


def test_a_picture_that_is_being_fetched_stays_whole() -> None:
    pixels = np.full((40, 30, 3), 90, np.uint8)
    path = uploads.picture(pixels, "png")
    with open(path, "rb") as fetched:
        assert uploads.picture(pixels, "png") == path
        assert os.stat(path).st_ino != os.fstat(fetched.fileno()).st_ino  # another file, not this one written over
        assert (np.array(Image.open(fetched)) == pixels).all()
    assert uploads.picture(pixels + np.uint8(1), "png") != path
    with ThreadPoolExecutor(8) as visitors:  # who all look at the same example
        assert set(visitors.map(lambda _: uploads.picture(pixels, "png"), range(64))) == {path}


def test_the_slider_goes_back_to_the_models_threshold() -> None:
    moved = slider(0.3)
    assert (moved.value, moved.maximum) == (0.3, 0.9)


class FakeDetector:
    """Scores an image by its brightest pixel."""

    def __init__(self, path: Path) -> None:
        self.category = path.stem

    def predict(self, source) -> Prediction:
        return prediction(load_image(source).max(axis=2) / np.float32(255), self.category)


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    for name in ("bottle", "metal_nut"):
        (tmp_path / f"{name}.safetensors").touch()
    return Zoo(pretrained_dir=tmp_path, load=FakeDetector, look_up=lambda path: ("", DOMAIN))


def test_16_bit_images_are_decoded_as_such(zoo: Zoo, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((30, 40), 51 * 257, np.uint16)).save(path)
    result = inspect.look(zoo, str(path), "bottle")
    assert result.score == pytest.approx(0.2)  # saturated to 8 bits it would be 1
    assert (result.photo == 51).all()


@pytest.mark.parametrize(
    ("content", "category", "sentence"),
    [
        (b"not an image", "bottle", "save it as PNG"),
        (b"", "bottle", "save it as PNG"),
        (None, "bottle", "Upload an image first"),
        (b"not an image", None, "Choose a category first"),
        (b"", "../bottle", "choose one of bottle, metal_nut"),
    ],
)
def test_bad_input_is_one_clear_sentence(zoo: Zoo, tmp_path: Path, content, category, sentence: str) -> None:
    path = tmp_path / "upload.png"
    Image.new("RGB", (20, 20)).save(path)
    if category != "../bottle":
        path.write_bytes(content or b"")
    with pytest.raises(gr.Error, match=sentence) as caught:
        inspect.look(zoo, None if content is None else str(path), category)
    assert str(tmp_path) not in str(caught.value)  # the server's folders are nobody's business


def test_models_of_the_session_come_last_and_can_be_chosen(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    own = {"widget": tmp_path / "elsewhere" / "widget.safetensors"}
    own["widget"].touch()
    assert zoo.categories(own) == ["bottle", "metal_nut", "widget"]
    path = tmp_path / "photo.png"
    Image.new("RGB", (20, 20)).save(path)
    assert inspect.look(zoo, str(path), "widget", own).category == "widget"
    with pytest.raises(gr.Error, match="no trained model"):
        inspect.look(zoo, str(path), "widget")


def test_every_category_has_a_tile() -> None:
    found = shelves.tiles(["pill", "no_such_thing"], None)
    assert [caption for _, caption in found] == ["pill", "no such thing"]


def test_the_browser_goes_through_all_test_images_by_type(tmp_path: Path) -> None:
    for kind, count in (("good", 3), ("broken", 30)):
        for i in range(count):
            for folder, name in (("test", f"{i:03}.png"), ("ground_truth", f"{i:03}_mask.png")):
                path = tmp_path / "bottle" / folder / kind / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20, 20), (i, i, i)).save(path)
    assert examples.defect_types("bottle", tmp_path) == ["broken", "good"]
    pages, gallery = shelves.first_page("bottle", tmp_path, "broken")
    assert pages.visible and pages.maximum == 2 and len(gallery.value) == 24
    assert len(shelves.browse("bottle", tmp_path, "broken", 2).value) == 6
    assert not shelves.first_page("bottle", tmp_path, "good")[0].visible
    assert shelves.shelves("bottle", tmp_path)[1].value == "broken"
    assert not shelves.shelves("bottle", None)[0].visible
    assert examples.test_images("bottle", tmp_path, "broken")[0].truth() is not None
