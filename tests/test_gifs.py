import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from efficientad.detector import Detector
from efficientad.images import load_image, shrink
from efficientad.pretrained import available
from efficientad.ui import examples
from eval import gallery, gifs
from eval.__main__ import main

from .conftest import TinyWorld, dots

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of discs with a hole or none; the mask is the upper half."""
    root = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(0)
    for kind in ("good", "hole"):
        (root / "dots" / "test" / kind).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(dots(rng, 300)).save(root / "dots" / "test" / kind / f"{i:03d}.png")
    masks = root / "dots" / "ground_truth" / "hole"
    masks.mkdir(parents=True)
    mask = np.zeros((300, 300), np.uint8)
    mask[:150] = 255
    for i in range(2):
        Image.fromarray(mask).save(masks / f"{i:03d}_mask.png")
    return root


def render(tiny: TinyWorld, data: Path, out: Path) -> None:
    assert main(["gifs", "--data", str(data), "--pretrained", str(tiny.model.parent), "--out", str(out)]) == 0


def test_a_gif_loops_through_every_defect_type(tiny: TinyWorld, data: Path, tmp_path: Path) -> None:
    render(tiny, data, tmp_path)
    with Image.open(tmp_path / "dots.gif") as image:
        assert image.n_frames == 2 and image.info["loop"] == 0
        assert image.info["duration"] == gifs.MILLISECONDS
    frame = iio.imread(tmp_path / "dots.gif", plugin="pillow", mode="RGB", index=1).astype(int)  # good, then hole
    side = gifs.GIF_PANEL
    truth = frame[:side, side : 2 * side]
    assert truth[10 : side // 2 - 10, 10:-10].mean() > 250 > 5 > truth[side // 2 + 10 : -10, 10:-10].mean()


def test_rendering_again_gives_the_same_bytes(tiny: TinyWorld, data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        render(tiny, data, tmp_path / name)
    for file in ("dots.gif", "examples/dots.webp", "examples/dots.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_examples_are_the_network_input_to_the_pixel(tiny: TinyWorld, data: Path, tmp_path: Path) -> None:
    render(tiny, data, tmp_path)
    found = examples.find("dots", None, tmp_path / "examples")
    assert [example.caption for example in found] == ["good", "hole"]
    frames = json.loads((tmp_path / "examples" / "dots.json").read_text())["frames"]
    detector = Detector.load(tiny.model)
    for example, frame in zip(found, frames, strict=True):
        assert np.array_equal(example.image(), shrink(load_image(data / frame["path"])))
        assert detector.predict(example.image()).score == pytest.approx(frame["score"], abs=1e-4)


def test_a_gif_that_is_too_large_is_refused(tiny: TinyWorld, data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(gifs, "GIF_BYTES", 1000)
    command = ["gifs", "--data", str(data), "--pretrained", str(tiny.model.parent), "--out", str(tmp_path)]
    assert main(command) == 2
    assert "lower GIF_PANEL" in capsys.readouterr().err


@pytest.mark.parametrize("category", available())
def test_committed_examples_get_the_committed_verdicts(category: str) -> None:
    """The demo's examples, inspected here, agree with what the originals got."""
    listing = ASSETS / "examples" / f"{category}.json"
    frames = json.loads(listing.read_text())["frames"]
    detector = Detector.load(category)
    for example, frame in zip(examples.find(category, None), frames[:3], strict=False):
        prediction = detector.predict(example.image())
        assert prediction.defective == frame["defective"]
        assert prediction.score == pytest.approx(frame["score"], abs=0.01)  # other CPUs round differently
        assert prediction.threshold == pytest.approx(frame["threshold"], abs=1e-4)


def test_committed_gifs_are_small() -> None:
    for path in ASSETS.glob("*.gif"):
        assert path.stat().st_size <= gifs.GIF_BYTES


def test_the_committed_readme_shows_the_committed_gifs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- gifs -->\n{gallery.section(ASSETS)}\n<!-- /gifs -->" in readme


def test_the_gallery_says_how_to_make_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pill.gif").touch()
    text = gallery.section(tmp_path)
    assert "![Pill:" in text and "No GIF yet: Carpet, Grid," in text and "--category carpet" in text
