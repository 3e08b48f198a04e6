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
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from efficientad.calibrate import Calibration
from efficientad.checkpoint import Card
from efficientad.detector import Prediction
from efficientad.domain import Domain
from efficientad.images import load_image
from efficientad.ui import api, build, examples, inspect, shelves
from efficientad.ui.style import CSS, theme
from efficientad.zoo import Zoo
from eval.browser import FLAGS

THRESHOLD = 0.3
DOMAIN = Domain(torch.zeros(768), 1.0, torch.zeros(1, 768), 1.0, 2.5)  # everything fits
CARD = Card(
    category="dots", size="S", calibration=Calibration((0.0, 1.0), (0.0, 1.0), THRESHOLD), domain=DOMAIN,
    config={"seed": 42}, data_hash="", good_images=20, penalty_images=0, steps=10, minutes=1.0, teacher="",
    code_version="",
    torch_version="2.8",
)  # fmt: skip


class FakeDetector:
    """Scores an image by its brightest pixel: 0 to 1."""

    looks = 0  # of all detectors

    def __init__(self, path: Path) -> None:
        self.category = path.stem
        self.card = CARD

    def predict(self, source) -> Prediction:
        FakeDetector.looks += 1
        return prediction(load_image(source).max(axis=2) / np.float32(255), self.category)


def prediction(values: np.ndarray, category: str = "metal_nut") -> Prediction:
    score = float(values.max())
    maps = [values.astype(np.float32), values.astype(np.float32) * 2, values.astype(np.float32) * 0]
    return Prediction(category, score, THRESHOLD, score > THRESHOLD, *maps, torch.zeros(768), 12.34)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("pretrained")
    for name in ("bottle", "metal_nut"):
        (folder / f"{name}.safetensors").touch()
    return Zoo(pretrained_dir=folder, load=FakeDetector, look_up=lambda path: ("", DOMAIN))


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


# ---------------------------------------------------------------- what a page shows when it opens


def test_page_without_models(tmp_path: Path) -> None:
    empty = Zoo(pretrained_dir=tmp_path, load=FakeDetector, look_up=lambda path: ("", DOMAIN))
    build(empty)
    category, button, notice, tiles, gallery, *_ = inspect.arrive(empty, None, "bottle", {})
    assert category.choices == [] and category.value is None
    assert not button.interactive and notice.visible and not tiles.visible and not gallery.visible
    assert "python -m efficientad train" in inspect.UNTRAINED


def test_page_with_models(zoo: Zoo, data: Path) -> None:
    category, button, notice, tiles, gallery, *_ = inspect.arrive(zoo, data, None, {})
    assert category.value == "bottle" and button.interactive and not notice.visible
    assert tiles.visible and gallery.visible
    own = {"widget": zoo.pretrained_dir / "bottle.safetensors"}
    assert inspect.arrive(zoo, data, "widget", own)[0].value == "widget"
    assert inspect.arrive(zoo, data, "widget", {})[0].value == "bottle"


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
    assert not shelves.offer("no such category", None).visible


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
    names = set(client.view_api(return_format="dict")["named_endpoints"])
    assert names == {"/inspect", "/batch", "/categories", "/results"}
    assert client.predict(api_name="/categories") == ["bottle", "metal_nut"]
    path = save(tmp_path / "deep.png", np.full((30, 40), 204 * 257, np.uint16))
    decision, *_ = client.predict(image=handle_file(path), category="metal_nut", api_name="/inspect")
    assert decision == {
        "category": "metal_nut", "score": 0.8, "threshold": 0.3, "defective": True, "milliseconds": 12.3,
        "fits_category": True, "best_category": "bottle",
    }  # fmt: skip
    broken = tmp_path / "broken.png"
    broken.write_bytes(path.read_bytes()[:60])
    with pytest.raises(AppError, match="The image is"):
        client.predict(image=handle_file(broken), category="bottle", api_name="/inspect")
    with pytest.raises(AppError, match="choose one of bottle, metal_nut"):
        client.predict(image=handle_file(path), category="wood", api_name="/inspect")
    decision, *_ = client.predict(image=handle_file(path), category="bottle", api_name="/inspect")
    assert decision["category"] == "bottle"  # the app lives on


def test_the_snippet_runs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, red in (("photo.png", 204), ("another.png", 10)):
        save(tmp_path / name, np.full((30, 40, 3), (red, 0, 0), np.uint8))
    exec(api.snippet(url, "metal_nut", training=False), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4] == "['bottle', 'metal_nut']" and lines[-3].startswith("True 0.8 0.3")
    assert lines[-2].startswith("photo.png True") and lines[-1].startswith("another.png False")


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_files_of_the_server_cannot_be_inspected(url: str, tmp_path: Path, meta: dict) -> None:
    private = save(tmp_path / "private.png", np.zeros((30, 30, 3), np.uint8))
    call = f"{url}gradio_api/call/inspect"
    event = httpx.post(call, json={"data": [{"path": str(private), **meta}, "bottle"]}).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=30).text
    assert answer.startswith("event: error") and "score" not in answer


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_browser(url: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    picture = np.full((90, 120, 3), 150, np.uint8)
    picture[30:60, 40:80] = 250
    bright = save(tmp_path / "bright.png", picture)
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
        page.locator("#logical .js-plotly-plot").wait_for()
        assert "no penalty images" in page.locator("#model").inner_text()

        looks, outlined = FakeDetector.looks, page.locator("#pair img").last.get_attribute("src")
        slider = page.locator("#threshold input[type=range]")
        slider.focus()
        page.keyboard.press("End")  # three times the threshold: 0.9
        page.keyboard.press("ArrowLeft")
        page.get_by_text("its score 0.980 is above the threshold 0.8").wait_for()
        page.wait_for_function("src => [...document.querySelectorAll('#pair img')].at(-1).src != src", arg=outlined)
        assert FakeDetector.looks == looks  # the network was not asked again
        page.get_by_role("button", name="Back to the model's threshold").click()
        page.get_by_text("is above the threshold 0.300").wait_for()

        page.get_by_label("Thumbnail 1 of 8").click()
        page.get_by_text("This bottle is good").wait_for()
        page.get_by_role("tab", name="API").click()
        page.get_by_text(url.rstrip("/")).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390

        page.get_by_role("tab", name="Batch").click()
        page.set_input_files("#batch-files input[type=file]", [bright, broken])
        page.locator("#batch-files").get_by_text("broken").wait_for()
        page.locator("#batch-run").click()
        page.get_by_text("1 could not be read").wait_for()
        with page.expect_download() as download:
            page.locator("#batch-csv").click()
        assert "bright.png" in Path(download.value.path()).read_text()
        page.get_by_role("tab", name="Results").click()
        page.locator("#comparison").get_by_text("EfficientAD-S, ours").first.wait_for()
        page.locator(".js-plotly-plot >> visible=true").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert outside == [] and complaints == []
        page.get_by_role("tab", name="Inspect").click()
        page.get_by_label("Remove Image").or_(page.get_by_label("Clear")).first.click()
        page.locator("#verdict .idle").wait_for()
        page.set_input_files("#image input[type=file]", broken)
        page.get_by_test_id("toast-text").get_by_text("The image is empty, damaged or not an image").wait_for()
        page.locator("#verdict .idle").wait_for()
        browser.close()
