from pathlib import Path

import numpy as np
from PIL import Image

from efficientad.images import load_image, shrink
from eval.__main__ import main

from .conftest import TinyWorld, dots


def test_figures_show_every_defect_type_and_keep_the_input_readable(tiny: TinyWorld, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root, test = tmp_path / "data", tmp_path / "data" / "dots" / "test"
    for kind in ("good", "hole"):
        (test / kind).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(dots(rng, 300)).save(test / kind / f"{i:03d}.png")
    masks = root / "dots" / "ground_truth" / "hole"
    masks.mkdir(parents=True)
    mask = np.zeros((300, 300), np.uint8)
    mask[:150] = 255
    for i in range(2):
        Image.fromarray(mask).save(masks / f"{i:03d}_mask.png")
    out = tmp_path / "figures"
    assert main(["figures", "--data", str(root), "--pretrained", str(tiny.model.parent), "--out", str(out)]) == 0
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.webp")) == ["dots/good.webp", "dots/hole.webp"]
    figure = load_image(out / "dots" / "hole.webp").astype(int)
    assert figure.shape == (296, 1024, 3)
    original = shrink(load_image(test / "hole" / "000.png")).astype(int)
    assert np.array_equal(figure[:256, :256], original)
    assert figure[10:100, 300:480].mean() > 250 > 5 > figure[160:250, 300:480].mean()
