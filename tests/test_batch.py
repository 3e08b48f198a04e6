"""The Batch tab: what is kept and shown of many images, bad uploads, and the endpoint."""

from __future__ import annotations

import app  # noqa: F401 - first: it sets the environment flags that gradio reads when it is imported

# isort: split
import csv
import io
import json
import pickle
import struct
import zipfile
import zlib
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

from efficientad.batch import COLUMNS
from efficientad.detector import Prediction
from efficientad.domain import Domain, Fit
from efficientad.resample import to_pixels
from efficientad.ui import batch, build
from efficientad.ui.checked import Batch, Checked, _cells
from efficientad.ui.uploads import paths_of
from efficientad.zoo import Zoo

from .test_app import THRESHOLD, FakeDetector, prediction, save
from .test_archives import pack

DOMAIN = Domain(torch.zeros(768), 1.0, torch.zeros(1, 768), 1.0, 2.5)  # everything fits
FITS, DOUBTFUL = Fit(True, 1.0, 1.5, "metal_nut"), Fit(False, 3.0, 1.5, "pill")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    folder = tmp_path_factory.mktemp("pretrained")
    (folder / "metal_nut.safetensors").touch()
    return Zoo(pretrained_dir=folder, load=FakeDetector, look_up=lambda path: ("", DOMAIN))


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def gigapixel() -> bytes:
    """A PNG of 30,000 x 30,000 black pixels in 110 kB."""
    squeeze = zlib.compressobj(9)
    pixels = b"".join(squeeze.compress(bytes(1 + 30_000 // 8) * 100) for _ in range(300)) + squeeze.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))

    header = struct.pack(">LLBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images that are good, images that are unusual, and what is no image at all."""
    folder = tmp_path_factory.mktemp("uploads")
    grey = Image.new("RGB", (60, 40), (51, 51, 51))
    animation = {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "white")]}
    deep = Image.fromarray(np.full((40, 60), 204 * 257, np.uint16))
    contents = {
        "good.png": encoded(grey, "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "cmyk.jpg": encoded(Image.new("CMYK", (60, 40), (0, 0, 0, 153)), "JPEG"),
        "animated.gif": encoded(grey, "GIF", **animation),
        "empty.png": b"",
        "text.png": b"this is text",
        "truncated.jpg": encoded(Image.effect_noise((60, 40), 50), "JPEG")[:400],
        "huge.png": gigapixel(),
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    pack(folder / "bomb.zip", {"a.png": bytes(50 << 20)})
    pack(folder / "outside.zip", {"../a.png": contents["good.png"]})
    pack(folder / "nothing.zip", {"notes.txt": b"-"})
    pack(folder / "parts.zip", {"b/white.png": encoded(Image.new("L", (9, 9), 255), "PNG"), "a/bad.png": b"-"})
    return [folder / name for name in (*contents, "bomb.zip", "outside.zip", "nothing.zip", "parts.zip")]


READABLE = {"deep.png": 0.8, "good.png": 0.2, "cmyk.jpg": 0.4, "animated.gif": 0.2, "parts.zip/b/white.png": 1.0}
REFUSED = {
    "empty.png": "empty, damaged or not an image", "text.png": "empty, damaged or not an image",
    "truncated.jpg": "damaged or incomplete", "huge.png": "more than 100 megapixels",
    "drawing.svg": "empty, damaged or not an image", "bomb.zip": "200 times", "outside.zip": "outside itself",
    "nothing.zip": "contains no images", "parts.zip/a/bad.png": "empty, damaged or not an image",
}  # fmt: skip


def checked(name: str, values: np.ndarray, fit: Fit = FITS) -> Checked:
    return Checked.of(name, np.full((*values.shape, 3), 90, np.uint8), prediction(values), fit)


@pytest.fixture
def some() -> Batch:
    """Three images that could be read, one that does not fit, and one that could not be read."""
    items = [checked(name, np.full((40, 60), score)) for name, score in (("a.png", 0.2), ("z/b.png", 0.9))]
    items += [Checked("c.png", "The image is damaged."), checked("d.png", np.full((40, 60), 0.4), DOUBTFUL)]
    return Batch("metal_nut", THRESHOLD, len(items), items)


# ---------------------------------------------------------------- what is kept and shown


def test_bad_uploads_do_not_hold_up_the_others(zoo: Zoo, uploads: list[Path]) -> None:
    *_, found = batch.check_all(zoo, uploads, "metal_nut")
    assert {each.name for each in found.seen} == set(READABLE)
    for each in found.seen:
        assert each.score == pytest.approx(READABLE[each.name], abs=0.02), each.name
    assert {each.name for each in found.failed} == set(REFUSED)
    for each in found.failed:
        assert REFUSED[each.name] in each.error and len(each.error) < 200, each.name
        assert each.error.endswith(".") and str(uploads[0].parent) not in each.error


def test_nothing_to_inspect_is_said_in_one_sentence(zoo: Zoo, uploads: list[Path]) -> None:
    named = {path.name: path for path in uploads}
    for paths, category, sentence in (
        ([named["bomb.zip"]], "metal_nut", "bomb.zip: The zip is refused"),
        ([named["text.png"], named["nothing.zip"]], "metal_nut", "None of the 2 files .* The first, text.png: The"),
        ([], "metal_nut", "Upload images"),
        ([named["good.png"]], None, "Choose a category"),
        ([named["good.png"]], "wood", "choose one of metal_nut"),
    ):
        with pytest.raises(gr.Error, match=sentence):
            list(batch.check_all(zoo, paths, category))
    with pytest.raises(gr.Error, match="not an upload"):
        paths_of([{"path": str(named["good.png"])}])


def test_progress_is_told_image_by_image(zoo: Zoo, uploads: list[Path]) -> None:
    bars = [batch.bar(found) for found in batch.check_all(zoo, uploads[:3], "metal_nut")]
    assert ["0 of 3" in bars[0], "1 of 3" in bars[1], "2 of 3" in bars[2], bars[3]] == [True, True, True, ""]


def test_what_is_kept_of_an_image_is_small() -> None:
    rng = np.random.default_rng(0)
    for shape in ((4000, 3000), (20, 30), (5000, 2)):
        rgb = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        values = rng.random(shape, dtype=np.float32)
        kept = Checked.of("a.png", rgb, prediction(values), FITS)
        assert len(pickle.dumps(kept)) < 100_000  # noise is the worst that JPEG may be given
        assert kept.cells is not None and kept.cells.base is None and kept.cells.dtype == np.float16
        picture = kept.overlay(THRESHOLD, THRESHOLD)
        assert max(picture.shape) == max(3, *(min(side, 256) for side in shape)) and picture.dtype == np.uint8


@pytest.mark.parametrize("shape", [(256, 256), (700, 900), (2048, 1024)])
def test_the_small_map_is_that_of_the_network(shape: tuple[int, int]) -> None:
    cells = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    values = to_pixels(cells, shape)
    maps = (values, values, values)
    found = Prediction("pill", float(cells.max()), 0.5, True, *maps, torch.zeros(768), 1.0)
    kept = _cells(found)
    assert float(kept.max()) == pytest.approx(found.score, abs=1e-3)
    assert np.abs(kept - cells.numpy()).max() < 0.2 and np.abs(kept - cells.numpy()).mean() < 0.03


def test_table_has_the_highest_score_first_and_failures_last(some: Batch) -> None:
    assert batch.table(some, THRESHOLD) == [
        ["z/b.png", 0.9, "defective", 12.3, ""],
        ["d.png", 0.4, "defective", 12.3, "unlike metal nut, more like pill"],
        ["a.png", 0.2, "good", 12.3, ""],
        ["c.png", None, "not read", None, "The image is damaged."],
    ]
    assert [caption for _, caption in batch.worst(some, THRESHOLD)] == [
        "b.png · 0.900",
        "d.png · 0.400",
        "a.png · 0.200",
    ]


def test_summary(some: Batch) -> None:
    text = batch.summary(some, THRESHOLD)
    assert "**2 of 3** images of metal nut are defective at the threshold 0.300" in text
    assert "**1** could not be read" in text and "**1** may not show metal nut" in text and "12 ms" in text
    assert "Stopped" not in text
    some.total = 9
    assert "Stopped after 4 of 9 images." in batch.summary(some, THRESHOLD)


def test_another_threshold_asks_no_network(some: Batch) -> None:
    looks = FakeDetector.looks
    before, after = (batch.judged(some, threshold) for threshold in (THRESHOLD, 0.5))
    assert "**2 of 3**" in before[0] and "**1 of 3**" in after[0]
    assert [row[2] for row in after[1]] == ["defective", "good", "good", "not read"]
    assert [row["defective"] for row in _read(after[4])] == ["False", "True", "", "False"]
    assert FakeDetector.looks == looks
    assert batch.top(some) == pytest.approx(0.9)


def test_report_is_plain_json(some: Batch) -> None:
    report = json.loads(json.dumps(some.report(), allow_nan=False))
    assert report[1] == {
        "file": "z/b.png", "score": 0.9, "threshold": 0.3, "defective": True, "milliseconds": 12.3,
        "fits_category": True, "error": "",
    }  # fmt: skip
    assert report[2] == {
        "file": "c.png", "score": None, "threshold": None, "defective": None, "milliseconds": None,
        "fits_category": None, "error": "The image is damaged.",
    }  # fmt: skip
    assert report[3]["fits_category"] is False


def test_archive(some: Batch, tmp_path: Path) -> None:
    some.checked.append(checked("y/b.png", np.full((400, 800), 0.1)))
    some.archive(0.5, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = {
            "README.txt",
            "predictions.csv",
            "predictions.json",
            *(f"overlays/{n}.png" for n in ("a", "b", "d", "b-2")),
        }
        assert set(archive.namelist()) == names
        assert "256 pixels" in archive.read("README.txt").decode()
        rows = json.loads(archive.read("predictions.json"))
        assert tuple(rows[0]) == COLUMNS and rows[0]["threshold"] == 0.5 and rows[2]["score"] is None
        assert Image.open(archive.open("overlays/b-2.png")).size == (256, 128)


def test_page_learns_of_new_models(zoo: Zoo) -> None:
    own = {"widget": zoo.pretrained_dir / "metal_nut.safetensors"}
    category, button = batch.arrive(zoo, "widget", own)
    assert category.value == "widget" and button.interactive
    assert batch.arrive(zoo, "widget", {})[0].value == "metal_nut"


# ---------------------------------------------------------------- the endpoint


@pytest.fixture(scope="module")
def url(zoo: Zoo) -> Iterator[str]:
    demo = build(zoo)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_name="127.0.0.1")
    yield address
    demo.close()


def test_endpoint(url: str, uploads: list[Path], tmp_path: Path) -> None:
    client = Client(url, verbose=False, analytics_enabled=False)
    files = [handle_file(path) for path in uploads]
    rows, table = client.predict(files=files, category="metal_nut", api_name="/batch")
    assert len(rows) == len(READABLE) + len(REFUSED)
    assert rows[0] == {
        "file": "good.png", "score": 0.2, "threshold": 0.3, "defective": False, "milliseconds": 12.3,
        "fits_category": True, "error": "",
    }  # fmt: skip
    assert {row["file"]: row["defective"] for row in rows if not row["error"]} == {
        name: score > THRESHOLD for name, score in READABLE.items()
    }
    stored = _read(table)
    assert tuple(stored[0]) == COLUMNS and [row["path"] for row in stored] == [row["file"] for row in rows]
    for path, sentence in ((uploads[4], "empty.png: The image is empty"), (uploads[9], "bomb.zip: The zip is refused")):
        with pytest.raises(AppError, match=sentence):
            client.predict(files=[handle_file(path)], category="metal_nut", api_name="/batch")
    with pytest.raises(AppError, match="choose one of metal_nut"):
        client.predict(files=files[:1], category="wood", api_name="/batch")
    rows, _ = client.predict(files=files[:1], category="metal_nut", api_name="/batch")
    assert rows[0]["score"] == 0.2  # the app lives on


def test_files_of_the_server_cannot_be_inspected(url: str, tmp_path: Path) -> None:
    private = save(tmp_path / "private.png", np.zeros((30, 30, 3), np.uint8))
    call = f"{url}gradio_api/call/batch"
    for file in ({"path": str(private)}, {"path": str(private), "meta": {"_type": "gradio.FileData"}}):
        event = httpx.post(call, json={"data": [[file], "metal_nut"]}).json()["event_id"]
        answer = httpx.get(f"{call}/{event}", timeout=30).text
        assert answer.startswith("event: error") and "score" not in answer


def _read(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))
