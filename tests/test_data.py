"""Folders in the layout of MVTec AD, and what is said about folders that are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientad import data
from efficientad.errors import InputError


def put(path: Path, size: tuple[int, int] = (6, 4), colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, colour).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two categories; nut has every kind of file that must be overlooked."""
    for i in (2, 0, 1):
        put(tmp_path / f"nut/train/good/{i:03}.png")
    put(tmp_path / "nut/train/good/003.WEBP")
    put(tmp_path / "nut/train/good/.hidden.png")
    (tmp_path / "nut/train/good/notes.txt").write_text("not an image")
    put(tmp_path / "nut/test/good/000.png")
    for i in range(2):
        put(tmp_path / f"nut/test/bent/{i:03}.jpg")
        put(tmp_path / f"nut/ground_truth/bent/{i:03}_mask.png", colour=255)
    put(tmp_path / "nut/test/.cache/000.png")
    put(tmp_path / "bolt/train/good/000.png")
    put(tmp_path / ".trash/train/good/000.png")
    (tmp_path / "readme").mkdir()
    (tmp_path / "license.txt").write_text("text")
    return tmp_path


def test_categories(root: Path) -> None:
    assert data.categories(root) == ["bolt", "nut"]


def test_train_images_are_sorted_and_only_images(root: Path) -> None:
    names = [path.name for path in data.train_images(root, "nut")]
    assert names == ["000.png", "001.png", "002.png", "003.WEBP"]


def test_test_samples(root: Path) -> None:
    samples = data.test_samples(root, "nut")
    assert [(s.defect_type, s.path.name) for s in samples] == [
        ("bent", "000.jpg"),
        ("bent", "001.jpg"),
        ("good", "000.png"),
    ]
    assert [s.defective for s in samples] == [True, True, False]
    assert [s.mask for s in samples] == [
        root / "nut/ground_truth/bent/000_mask.png",
        root / "nut/ground_truth/bent/001_mask.png",
        None,
    ]
    assert {s.category for s in samples} == {"nut"}


def test_a_missing_mask_is_named(root: Path) -> None:
    missing = root / "nut/ground_truth/bent/001_mask.png"
    missing.unlink()
    with pytest.raises(InputError) as caught:
        data.test_samples(root, "nut")
    assert str(missing) in str(caught.value)


def test_an_unknown_category_lists_those_there_are(root: Path) -> None:
    for wrong in ("nutt", "..", "readme", ""):
        with pytest.raises(InputError, match="choose one of bolt, nut"):
            data.train_images(root, wrong)


def test_empty_and_missing_folders(root: Path) -> None:
    with pytest.raises(InputError, match="gone is not a folder: check"):
        data.categories(root / "gone")
    with pytest.raises(InputError, match="holds no category: pass the folder"):
        data.categories(root / "nut")  # one level too deep
    with pytest.raises(InputError, match="test is not a folder"):
        data.test_samples(root, "bolt")
    (root / "bolt/test").mkdir()
    with pytest.raises(InputError, match="test is empty: add"):
        data.test_samples(root, "bolt")
    (root / "bolt/train/good/000.png").unlink()
    with pytest.raises(InputError, match="good contains no images: add"):
        data.train_images(root, "bolt")
    shutil.rmtree(root / "bolt/train/good")
    with pytest.raises(InputError, match="good is not a folder: check the path, or create it"):
        data.train_images(root, "bolt")


def test_image_files_go_deep_unless_told(root: Path) -> None:
    deep = data.image_files(root / "nut")
    assert len(deep) == 4 + 1 + 2 + 2 and deep == sorted(deep)
    assert not any(part.startswith(".") for path in deep for part in path.relative_to(root).parts)
    with pytest.raises(InputError, match="no images"):
        data.image_files(root / "nut", recursive=False)


def test_a_hidden_parent_does_not_hide_the_images(root: Path) -> None:
    assert len(data.image_files(root / ".trash")) == 1


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_load_mask(tmp_path: Path, mode: str) -> None:
    truth = np.zeros((5, 7), bool)
    truth[1:3, 2:6] = True
    Image.fromarray(truth.astype(np.uint8) * 255).convert(mode).save(tmp_path / "mask.png")
    mask = data.load_mask(tmp_path / "mask.png", (5, 7))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, truth)


def test_a_mask_of_labels_counts_all_but_black(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(tmp_path / "mask.png")
    assert data.load_mask(tmp_path / "mask.png", (1, 3)).tolist() == [[False, True, True]]


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    path = put(tmp_path / "000_mask.png", size=(6, 4))
    with pytest.raises(InputError, match=r"000_mask\.png is 6x4 pixels but its image 4x6: export"):
        data.load_mask(path, (6, 4))
    with pytest.raises(InputError, match="does not exist"):
        data.load_mask(tmp_path / "gone.png", (6, 4))


def test_split_is_a_partition_that_the_seed_decides() -> None:
    paths = [Path(f"good/{i:03}.png") for i in range(209)]
    training, calibration = data.split_good(paths)
    assert (len(training), len(calibration)) == (188, 21)
    assert sorted(training + calibration) == paths
    assert training == sorted(training) and calibration == sorted(calibration)
    assert data.split_good(paths[::-1]) == (training, calibration)
    assert data.split_good(paths, seed=43)[1] != calibration
    assert data.split_good(paths, fraction=0.5)[1] != calibration


def test_split_stays_what_it_was() -> None:
    """Another split would calibrate the models that are trained already with their training images."""
    paths = [Path(f"{i:03}.png") for i in range(31)]
    assert [path.stem for path in data.split_good(paths)[1]] == ["007", "016", "030"]


def test_split_needs_ten() -> None:
    paths = [Path(f"{i}.png") for i in range(10)]
    assert [len(part) for part in data.split_good(paths)] == [9, 1]
    assert len(data.split_good(paths, fraction=0.01)[1]) == 1
    with pytest.raises(InputError, match="9 good images are too few: put 10 or more"):
        data.split_good(paths[:9])


def test_content_hash_sees_names_and_bytes_but_not_the_place(tmp_path: Path) -> None:
    def write(folder: str, **files: bytes) -> list[Path]:
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_bytes(content)
        return sorted((tmp_path / folder).iterdir())

    here = write("here", a=b"one", b=b"two" * 500_000)  # b is longer than one block
    original = data.content_hash(here)
    assert len(original) == 64
    assert original == data.content_hash(here[::-1])
    assert original == data.content_hash(write("there", a=b"one", b=b"two" * 500_000))
    others = [
        write("bytes", a=b"one", b=b"two" * 499_999 + b"twO"),
        write("names", a=b"one", c=b"two" * 500_000),
        write("fewer", a=b"one"),
        write("swapped", b=b"one", a=b"two" * 500_000),
    ]
    assert len({original, *map(data.content_hash, others)}) == 5
    with pytest.raises(InputError, match=r"gone\.png cannot be read"):
        data.content_hash([tmp_path / "gone.png"])
