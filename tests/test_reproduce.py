"""The whole benchmark trains only what is missing, and the figure of the method is what is committed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops

from efficientad.errors import InputError
from eval.__main__ import ASSETS, main
from eval.architecture import draw, render
from eval.reproduce import missing

from .conftest import TinyWorld


def test_only_what_has_no_model_is_trained(tiny: TinyWorld, tmp_path: Path) -> None:
    assert missing(tiny.data, None, tmp_path) == ["dots"]
    (tmp_path / "dots.safetensors").touch()
    assert missing(tiny.data, ["dots"], tmp_path) == []
    with pytest.raises(InputError, match="has no category 'wood'"):
        missing(tiny.data, ["wood"], tmp_path)


def test_without_a_dataset_it_says_what_to_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 2
    assert "pass --data" in capsys.readouterr().err


def test_the_figure_is_the_committed_one(tmp_path: Path) -> None:
    """Compared by eye's measure: another Pillow may set type a little differently."""
    drawn = Image.open(render(tmp_path / "figure.png")).convert("L").resize((310, 140))
    committed = Image.open(ASSETS / "efficientad.png").convert("L").resize((310, 140))
    assert draw().size == Image.open(ASSETS / "efficientad.png").size
    histogram = ImageChops.difference(drawn, committed).histogram()
    assert sum(histogram[64:]) < 0.02 * 310 * 140
