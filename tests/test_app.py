"""The demo: callbacks without a server, the endpoints through gradio_client, and the page in a browser."""

from __future__ import annotations

import app  # first: it sets the environment flags that gradio reads when it is imported

# isort: split
import json
import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from efficientad.detector import Prediction
from efficientad.images import load_image
from efficientad.ui import build, examples, inspect
from efficientad.ui.style import CSS, theme
from efficientad.zoo import Zoo

THRESHOLD = 0.3


class FakeDetector:
    """Scores an image by its brightest pixel: 0 to 1."""

    def __init__(self, path: Path) -> None:
        self.category = path.stem

    def predict(self, source) -> Prediction:
        return prediction(load_image(source).max(axis=2) / np.float32(255), self.category)


def prediction(values: np.ndarray, category: str = "metal_nut") -> Prediction:
    score = float(values.max())
    maps = [values.astype(np.float32), values.astype(np.float32) * 2, values.astype(np.float32) * 0]
    return Prediction(category, score, THRESHOLD, score > THRESHOLD, *maps, milliseconds=12.34)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("pretrained")
    for name in ("bottle", "metal_nut"):
        (folder / f"{name}.safetensors").touch()
    return Zoo(pretrained_dir=folder, load=FakeDetector)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with one category, bottle: 6 good, 5 broken, 1 bent; the bent one is bright."""
    root = tmp_path_factory.mktemp("data")
    for kind, count in (("good", 6), ("broken", 5), ("bent_far", 1)):
        for i in range(count):
            value = 200 if kind == "bent_far" else 20 + i
            save(root / "bottle" / "test" / kind / f"{i:03}.png", np.full((40, 60, 3), value, np.uint8))
            save(root / "bottle" / "ground_truth" / kind / f"{i:03}_mask.png", np.ones((40, 60), np.uint8))
    return root


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


# ---------------------------------------------------------------- callbacks


def test_report_is_plain_json() -> None:
    decision = inspect.report(prediction(np.full((4, 5), np.float32(0.61))))
    assert json.loads(json.dumps(decision)) == {
        "category": "metal_nut", "score": 0.61, "threshold": 0.3, "defective": True, "milliseconds": 12.3,
    }  # fmt: skip


def test_verdict_says_it_in_words() -> None:
    bad, good = (inspect.verdict(prediction(np.full((4, 5), v))) for v in (0.61, 0.1))
    assert "This metal nut is defective: its score 0.610 is above the threshold 0.300." in bad
    assert "This metal nut is good: its score 0.100 is not above the threshold 0.300." in good
    assert "12 ms" in bad


def test_verdict_keeps_close_numbers_apart_and_escapes_names() -> None:
    text = inspect.verdict(prediction(np.full((4, 5), 0.30004), "<b>"))
    assert "score 0.30004 is above the threshold 0.30000" in text
    assert "<b>" not in text and "&lt;b&gt;" in text


def test_legend_marks_the_score_within_the_scale() -> None:
    assert "left: 50.0%" in inspect.legend(prediction(np.full((4, 5), THRESHOLD)))
    assert "left: 100.0%" in inspect.legend(prediction(np.full((4, 5), 9.0)))
    assert "left: 0.0%" in inspect.legend(prediction(np.full((4, 5), -1.0)))


def test_pictures_share_one_absolute_scale() -> None:
    rgb = np.full((50, 70, 3), 90, np.uint8)
    small, heat, combined, structural, logical = inspect.pictures(rgb, prediction(np.full((50, 70), 0.2)))
    assert (small == rgb).all() and heat.shape == rgb.shape
    brightness = [int(picture.sum(axis=2)[0, 0]) for picture in (logical, combined, structural)]
    assert brightness == sorted(set(brightness))  # 0 < 0.2 < 0.4
    other = inspect.pictures(rgb, prediction(np.linspace(0.2, 0.9, 3500).reshape(50, 70)))[2]
    assert (other[0, 0] == combined[0, 0]).all()  # the same value has the same colour


def test_large_photos_are_shown_smaller() -> None:
    shown = inspect.pictures(np.zeros((1300, 2600, 3), np.uint8), prediction(np.zeros((1300, 2600))))
    assert [picture.shape[:2] for picture in shown] == [(434, 867)] * 2 + [(260, 520)] * 3


def test_inspect_decodes_16_bit(zoo: Zoo, tmp_path: Path) -> None:
    path = save(tmp_path / "deep.png", np.full((30, 40), 51 * 257, np.uint16))
    decision, text, original, *_ = inspect.inspect(zoo, str(path), "bottle")
    assert decision["score"] == 0.2 and not decision["defective"]  # saturated to 8 bits it would be 1
    assert "good" in text and (original == 51).all()


@pytest.mark.parametrize(
    ("content", "category", "sentence"),
    [
        (b"not an image", "bottle", "save it as PNG"),
        (b"", "bottle", "save it as PNG"),
        (None, "bottle", "Upload an image first"),
        (b"not an image", None, "Choose a category first"),
    ],
)
def test_bad_input_is_one_clear_sentence(zoo: Zoo, tmp_path: Path, content, category, sentence: str) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(content or b"")
    with pytest.raises(gr.Error, match=sentence) as caught:
        inspect.inspect(zoo, None if content is None else str(path), category)
    assert str(tmp_path) not in str(caught.value)  # the server's folders are nobody's business


def test_unknown_category(zoo: Zoo, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((30, 30, 3), np.uint8))
    with pytest.raises(gr.Error, match="choose one of bottle, metal_nut"):
        inspect.inspect(zoo, str(path), "../bottle")


def test_results_can_be_cleared(zoo: Zoo, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((30, 30, 3), np.uint8))
    assert len(inspect.nothing()) == len(inspect.inspect(zoo, str(path), "bottle"))


def test_page_without_models(tmp_path: Path) -> None:
    empty = Zoo(pretrained_dir=tmp_path, load=FakeDetector)
    build(empty)
    category, button, notice, gallery = inspect.arrive(empty, None, "bottle")
    assert category.choices == [] and category.value is None
    assert not button.interactive and notice.visible and not gallery.visible
    assert "python -m efficientad train" in inspect.UNTRAINED


def test_page_with_models(zoo: Zoo, data: Path) -> None:
    category, button, notice, gallery = inspect.arrive(zoo, data, None)
    assert category.value == "bottle" and button.interactive and not notice.visible and gallery.visible
    assert inspect.arrive(zoo, data, "metal_nut")[0].value == "metal_nut"


# ---------------------------------------------------------------- examples


def test_examples_of_a_dataset_show_every_type_first(data: Path) -> None:
    found = examples.find("bottle", data)
    captions = [example.caption for example in found]
    assert captions[0] == "good" and set(captions[:3]) == {"good", "broken", "bent far"}
    assert len(found) == 8 and len({example.path for example in found}) == 8
    assert found[0].image().shape == (40, 60, 3)


def test_a_category_that_the_dataset_lacks_has_the_figure(data: Path, tmp_path: Path) -> None:
    panels = np.zeros((280, 1024, 3), np.uint8)
    panels[:256, :256] = 77
    first, second = Image.fromarray(panels), Image.fromarray(panels + np.uint8(1))
    first.save(tmp_path / "wood.webp", save_all=True, append_images=[second], lossless=True)
    listing = {"frames": [{"defect_type": "good"}, {"defect_type": "deep_hole"}]}
    (tmp_path / "wood.json").write_text(json.dumps(listing))
    _, example = examples.find("wood", data, tmp_path)
    assert example.caption == "deep hole"
    assert example.image().shape == (256, 256, 3) and (example.image() == 78).all()


def test_no_examples(tmp_path: Path) -> None:
    assert examples.find("wood", None, tmp_path) == []
    assert examples.find("wood", tmp_path / "absent", tmp_path) == []
    assert not inspect.offer("no such category", None).visible


# ---------------------------------------------------------------- app.py


def test_flags_are_set_before_gradio_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY")
    for flag in flags:
        monkeypatch.delenv(flag, raising=False)
    for module in ("gradio", "efficientad.ui"):
        monkeypatch.setitem(sys.modules, module, None)  # the import fails, and the script stops there
    with pytest.raises(ImportError):
        runpy.run_path(app.__file__)
    assert [os.environ.get(flag) for flag in flags] == ["False", "1"]


def test_the_page_is_built_without_loading_a_model(zoo: Zoo, data: Path) -> None:
    def load(path: Path) -> FakeDetector:
        raise AssertionError(f"{path} was loaded")

    assert isinstance(build(Zoo(pretrained_dir=zoo.pretrained_dir, load=load), data=data), gr.Blocks)
    assert isinstance(app.demo, gr.Blocks)


def test_wrong_dataset_ends_with_one_sentence(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    assert stopped.value.code == 2
    assert "holds no category" in capsys.readouterr().err


# ---------------------------------------------------------------- server and browser


@pytest.fixture(scope="module")
def url(zoo: Zoo, data: Path) -> Iterator[str]:
    demo = build(zoo, data=data)
    _, address, _ = demo.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, server_name="127.0.0.1", theme=theme(), css=CSS
    )
    yield address
    demo.close()


def test_endpoints(url: str, tmp_path: Path) -> None:
    client = Client(url, verbose=False, analytics_enabled=False)
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/inspect", "/categories"}
    assert client.predict(api_name="/categories") == ["bottle", "metal_nut"]
    path = save(tmp_path / "deep.png", np.full((30, 40), 204 * 257, np.uint16))
    decision, *_ = client.predict(image=handle_file(path), category="metal_nut", api_name="/inspect")
    assert decision == {
        "category": "metal_nut", "score": 0.8, "threshold": 0.3, "defective": True, "milliseconds": 12.3,
    }  # fmt: skip
    broken = tmp_path / "broken.png"
    broken.write_bytes(path.read_bytes()[:60])
    with pytest.raises(AppError, match="The image is"):
        client.predict(image=handle_file(broken), category="bottle", api_name="/inspect")
    with pytest.raises(AppError, match="choose one of bottle, metal_nut"):
        client.predict(image=handle_file(path), category="wood", api_name="/inspect")
    decision, *_ = client.predict(image=handle_file(path), category="bottle", api_name="/inspect")
    assert decision["category"] == "bottle"  # the app lives on


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_files_of_the_server_cannot_be_inspected(url: str, tmp_path: Path, meta: dict) -> None:
    private = save(tmp_path / "private.png", np.zeros((30, 30, 3), np.uint8))
    call = f"{url}gradio_api/call/inspect"
    event = httpx.post(call, json={"data": [{"path": str(private), **meta}, "bottle"]}).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=30).text
    assert answer.startswith("event: error") and "score" not in answer


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_browser(url: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    bright = save(tmp_path / "bright.png", np.full((90, 120, 3), 250, np.uint8))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    outside: list[str] = []
    complaints: list[str] = []
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(60_000)
        page.on("request", lambda r: r.url.startswith((url, "data:", "blob:")) or outside.append(r.url))
        page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.get_by_label("Thumbnail 8 of 8").wait_for()
        page.set_input_files("#image input[type=file]", bright)
        page.get_by_text("This bottle is defective").wait_for()
        status = page.locator("#verdict [role=status]")
        assert "0.980" in status.inner_text() and "ms" in status.inner_text()
        page.locator(".pictures img").nth(4).wait_for()
        page.get_by_label("Thumbnail 1 of 8").click()
        page.get_by_text("This bottle is good").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert outside == [] and complaints == []
        page.get_by_label("Remove Image").or_(page.get_by_label("Clear")).first.click()
        page.locator("#verdict .idle").wait_for()
        page.set_input_files("#image input[type=file]", broken)
        page.get_by_text("The image is empty, damaged or not an image").wait_for()
        page.locator("#verdict .idle").wait_for()
        browser.close()
