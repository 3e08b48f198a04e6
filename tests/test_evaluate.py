from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from sklearn.metrics import precision_recall_curve, roc_auc_score

from efficientad import data
from efficientad.detector import Detector, Prediction
from efficientad.errors import InputError
from efficientad.images import load_image
from eval.__main__ import main
from eval.evaluate import CategoryRow, choose_models, evaluate, merge_rows

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {"bottle": (20, 26), "toothbrush": (17, 17)}


class FakeDetector:
    """The anomaly map is the red channel, stretched to beyond [0, 1]; the n-th image takes n milliseconds."""

    size = "S"

    def __init__(self, path: Path, threshold: float = 0.75) -> None:
        assert path.suffix == ".safetensors" and path.is_file()
        self.category, self.threshold, self.calls = path.stem, threshold, 0
        self.config = {"seed": 42, "standard_split": path.stem != "toothbrush"}

    def anomaly_map(self, source: Path) -> np.ndarray:
        return (load_image(source)[:, :, 0].astype(np.float32) - 100) / 100

    def predict(self, source: Path) -> Prediction:
        self.calls += 1
        values = self.anomaly_map(source)
        score = float(values.max())
        return Prediction(
            category=self.category,
            score=score,
            threshold=self.threshold,
            defective=score > self.threshold,
            anomaly_map=values,
            structural_map=values / 2,
            logical_map=-values,
            summary=torch.zeros(768),
            milliseconds=float(self.calls),
        )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    for category, shape in SHAPES.items():
        for kind, count in (("good", 3), ("crack", 2), ("dent", 2)):
            folder = tmp_path / "data" / category / "test" / kind
            folder.mkdir(parents=True)
            truth = tmp_path / "data" / category / "ground_truth" / kind
            for i in range(count):
                pixels = rng.integers(0, 160 + 10 * i, (*shape, 3))
                if kind != "good":
                    mask = ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.2
                    pixels[mask] += 45
                    truth.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(truth / f"{i:03}_mask.png")
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / f"{category}.safetensors").touch()
    (tmp_path / "models" / "screw.safetensors").touch()  # a model without data
    return tmp_path / "data"


@pytest.fixture
def cli(dataset: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command line on the little dataset with fake detectors."""
    monkeypatch.setattr(Detector, "load", staticmethod(FakeDetector))
    models, out = dataset.parent / "models", dataset.parent / "out"

    def run(*more: str) -> int:
        return main(["tables", "--data", str(dataset), "--pretrained", str(models), "--out", str(out), *more])

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_category_row_against_scikit_learn(dataset: Path, cli) -> None:
    assert cli() == 0
    found = {row["category"]: row for row in rows(dataset.parent / "out" / "categories.csv")}
    assert list(found) == ["bottle", "toothbrush"]
    assert [row["split"] for row in found.values()] == ["standard", "non-standard"]
    for category, row in found.items():
        assert (row["size"], row["seed"]) == ("S", "42")
        assert (row["good_images"], row["defective_images"]) == ("3", "4")
        detector = FakeDetector(dataset.parent / "models" / f"{category}.safetensors")
        samples = data.test_samples(dataset, category)
        maps = [detector.anomaly_map(sample.path) for sample in samples]
        pairs = zip(samples, maps, strict=True)
        masks = [data.load_mask(s.mask, m.shape) if s.mask else np.zeros(m.shape, bool) for s, m in pairs]
        scores, truth = np.array([m.max() for m in maps]), np.array([s.defective for s in samples])
        pixels, labels = np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks])

        assert float(row["image_auroc"]) == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
        assert row["structural_auroc"] == row["image_auroc"]
        darkest = np.array([m.min() for m in maps])
        assert float(row["logical_auroc"]) == pytest.approx(roc_auc_score(truth, -darkest), abs=1e-6)
        assert float(row["pixel_auroc"]) == pytest.approx(roc_auc_score(labels, pixels), abs=1e-6)
        precision, recall, _ = precision_recall_curve(labels, pixels)
        best = (2 * precision * recall / (precision + recall)).max()
        assert float(row["pixel_f1"]) == pytest.approx(best, abs=1e-6)
        called = pixels > float(row["pixel_f1_threshold"]) - 1e-6  # rounded in the file; the map has steps of 0.01
        f1 = 2 * (called & labels).sum() / (called.sum() + labels.sum())
        assert float(row["pixel_f1"]) == pytest.approx(f1, abs=1e-6)
        assert float(row["aupro"]) == pytest.approx(aupro(maps, masks), abs=1e-6)

        assert row["image_threshold"] == "0.750000"
        alarms = scores > 0.75
        assert float(row["image_recall"]) == pytest.approx(alarms[truth].mean(), abs=1e-6)
        assert float(row["image_precision"]) == pytest.approx(truth[alarms].mean(), abs=1e-6)
        assert float(row["image_accuracy"]) == pytest.approx((alarms == truth).mean(), abs=1e-6)
        assert float(row["image_false_positive_rate"]) == pytest.approx(alarms[~truth].mean(), abs=1e-6)
        assert row["milliseconds"] == "4.000"


def aupro(maps: list[np.ndarray], masks: list[np.ndarray]) -> float:
    """Mean overlap of all regions on a fine grid of false-positive rates: independent of eval/metrics.py."""
    regions = []
    for values, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [values[labels == i + 1] for i in range(count)]
    good = np.concatenate([m[~k] for m, k in zip(maps, masks, strict=True)])
    x, y = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]:
        x.append(float((good >= threshold).mean()))
        y.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    grid = np.linspace(0, 0.3, 400_001)
    values = np.interp(grid, x, y)
    return float((values[1:] + values[:-1]).mean() / 2)


def test_image_rows(dataset: Path, cli) -> None:
    assert cli("--categories", "bottle") == 0
    found = rows(dataset.parent / "out" / "images.csv")
    assert [row["path"] for row in found] == [
        *("bottle/test/crack/000.png", "bottle/test/crack/001.png", "bottle/test/dent/000.png"),
        *("bottle/test/dent/001.png", "bottle/test/good/000.png", "bottle/test/good/001.png"),
        "bottle/test/good/002.png",
    ]
    for i, row in enumerate(found):
        score = (int(load_image(dataset / row["path"])[:, :, 0].max()) - 100) / 100
        assert row["structural"] == f"{score / 2:.6f}"
        assert row["score"] == f"{score:.6f}" and row["threshold"] == "0.750000"
        assert row["defect_type"] == Path(row["path"]).parent.name
        assert row["defective"] == ("false" if row["defect_type"] == "good" else "true")
        assert row["decision"] == ("defective" if score > 0.75 else "good")
        assert row["milliseconds"] == f"{i + 1}.000"


def test_a_subset_keeps_the_other_rows(dataset: Path, cli) -> None:
    out = dataset.parent / "out"
    assert cli() == 0
    before = {name: (out / name).read_bytes() for name in ("categories.csv", "images.csv")}
    assert cli("--categories", "toothbrush") == 0  # the same again: not a byte changes, no row is doubled
    assert {name: (out / name).read_bytes() for name in before} == before

    (dataset / "toothbrush" / "test" / "good" / "002.png").unlink()
    assert cli("--categories", "toothbrush") == 0
    old, new = before["images.csv"].decode().splitlines(), (out / "images.csv").read_text().splitlines()
    assert len(old) == 15 and len(new) == 14
    assert [x for x in new if x.startswith("bottle,")] == [x for x in old if x.startswith("bottle,")]
    assert [row["good_images"] for row in rows(out / "categories.csv")] == ["3", "2"]


def test_seeds_are_kept_apart(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path) -> FakeDetector:
        detector = FakeDetector(path)
        detector.category, seed = path.stem.split("-")
        detector.config = {"seed": int(seed), "standard_split": True}
        return detector

    monkeypatch.setattr(Detector, "load", staticmethod(load))
    out, models = dataset.parent / "out", dataset.parent / "models"
    files = [str(models / f"bottle-{seed}.safetensors") for seed in (1, 2)]
    for file in files:
        Path(file).touch()
    assert main(["seeds", "--data", str(dataset), "--out", str(out), "--models", *files]) == 0
    assert main(["seeds", "--data", str(dataset), "--out", str(out), "--models", files[0]]) == 0
    assert [(row["category"], row["seed"]) for row in rows(out / "seeds.csv")] == [("bottle", "1"), ("bottle", "2")]


def test_what_is_done_survives_a_crash(dataset: Path) -> None:
    out = dataset.parent / "out"

    def load(path: Path) -> Detector:
        if path.stem == "toothbrush":
            raise KeyboardInterrupt
        return cast(Detector, FakeDetector(path))

    models = choose_models(dataset, dataset.parent / "models")
    seen: list[tuple[str, int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        evaluate(dataset, models, out, load, lambda *step: seen.append(step))
    assert seen == [("bottle", i, 14) for i in range(1, 8)]
    assert [row["category"] for row in rows(out / "categories.csv")] == ["bottle"]
    assert {row["category"] for row in rows(out / "images.csv")} == {"bottle"}


def test_a_failed_write_leaves_the_old_file(dataset: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    out = dataset.parent / "out"
    assert cli("--categories", "bottle") == 0
    before = (out / "images.csv").read_bytes()

    def no_space(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        cli("--categories", "toothbrush")
    assert (out / "images.csv").read_bytes() == before
    assert sorted(path.name for path in out.iterdir()) == ["categories.csv", "images.csv"]


def test_undefined_metrics_are_empty_cells(dataset: Path, cli) -> None:
    for kind in ("crack", "dent"):
        for path in (dataset / "bottle" / "test" / kind).iterdir():
            path.unlink()
        (dataset / "bottle" / "test" / kind).rmdir()
    assert cli("--categories", "bottle") == 0
    row = rows(dataset.parent / "out" / "categories.csv")[0]
    undefined = ("image_auroc", "pixel_auroc", "pixel_f1", "pixel_f1_threshold", "aupro", "image_recall")
    assert [row[name] for name in undefined] == [""] * 6
    assert row["image_false_positive_rate"] not in ("", "nan") and row["defective_images"] == "0"


def test_a_csv_of_another_version_is_refused(dataset: Path, cli, capsys: pytest.CaptureFixture[str]) -> None:
    out = dataset.parent / "out"
    out.mkdir()
    (out / "categories.csv").write_text("category,auroc\nbottle,0.9\n")
    assert cli() == 2
    assert "--out" in capsys.readouterr().err
    assert (out / "categories.csv").read_text() == "category,auroc\nbottle,0.9\n"
    assert not (out / "images.csv").exists()


def test_merge_keeps_foreign_rows_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "categories.csv"
    metrics = [field.name for field in fields(CategoryRow)][6:-1]  # image_auroc to image_false_positive_rate
    zipper: dict[str, Any] = dict.fromkeys(metrics, 0.5)
    merge_rows(path, [CategoryRow("zipper", "M", 1, "standard", 3, 4, milliseconds=2.0, **zipper)])
    text = path.read_text().replace("0.500000", "0.5")  # written by hand
    path.write_text(text)
    bottle: dict[str, Any] = {**dict.fromkeys(metrics, math.nan), "image_auroc": 1 / 3}
    merge_rows(path, [CategoryRow("bottle", "S", 42, "standard", 1, 2, milliseconds=7.25, **bottle)])
    header, zipper_line = text.splitlines()
    assert path.read_text().splitlines() == [
        header,
        "bottle,S,42,standard,1,2,0.333333,,,,,,,,,,,,,7.250",
        zipper_line,
    ]


@pytest.mark.parametrize(
    "change, named",
    [
        (["--categories", "screw"], "no folder 'screw'"),
        (["--categories", "bottle", "cable"], "no model for 'cable'"),
        (["--pretrained", "nowhere"], "--pretrained"),
        (["--data", "nowhere"], "--data"),
    ],
)
def test_wrong_arguments_exit_with_2_and_one_sentence(cli, capsys, change: list[str], named: str) -> None:
    assert cli(*change) == 2
    message = capsys.readouterr().err.strip()
    assert named in message and message.endswith(".") and "\n" not in message


def test_a_category_folder_in_place_of_the_dataset(dataset: Path) -> None:
    with pytest.raises(InputError, match="--data"):
        choose_models(dataset / "bottle", dataset.parent / "models")
    (dataset / "bottle" / "test").rename(dataset / "bottle" / "elsewhere")
    (dataset / "toothbrush").rename(dataset / "wood")
    with pytest.raises(InputError, match="--data"):
        choose_models(dataset, dataset.parent / "models")


def test_module_without_data_and_without_gradio() -> None:
    code = "import sys, eval.evaluate, eval.torch_metrics, eval.__main__; print('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
    done = subprocess.run([sys.executable, "-m", "eval", "tables"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "--data" in done.stderr and len(done.stderr.splitlines()) == 1
