from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from efficientad import commands, index
from efficientad.__main__ import main
from efficientad.errors import InputError
from efficientad.index import build_index, write_index
from efficientad.pretrained import PRETRAINED

from .conftest import TinyWorld


def test_the_index_of_the_repository_agrees_with_its_models() -> None:
    written = json.loads((PRETRAINED / index.NAME).read_text())
    assert written == build_index(PRETRAINED), "run python -m efficientad index"


def test_an_entry_for_every_file(tiny: TinyWorld, tmp_path: Path) -> None:
    for path in (tiny.teacher, tiny.model):
        shutil.copy(path, tmp_path)
    (tmp_path / "README.md").write_text("not a model")
    assert write_index(tmp_path) == tmp_path / "index.json"
    first = (tmp_path / "index.json").read_bytes()
    model, teacher = json.loads(first)
    digest = hashlib.sha256(tiny.teacher.read_bytes()).hexdigest()
    assert teacher == {
        "file": "teacher_s.safetensors",
        "sha256": digest,
        "size": tiny.teacher.stat().st_size,
        "kind": "teacher",
        "network": "S",
        "config": {},
    }
    assert (model["file"], model["kind"], model["category"]) == ("dots.safetensors", "model", "dots")
    assert model["sha256"] == hashlib.sha256(tiny.model.read_bytes()).hexdigest()
    assert model["size"] == tiny.model.stat().st_size
    assert (model["network"], model["seed"], model["standard_split"]) == ("S", 42, True)
    assert (model["good_images"], model["penalty_images"], model["steps"]) == (10, 2, 4)
    assert model["teacher"] == digest
    assert model["config"]["crop_cells"] == 4
    assert {"data_hash", "minutes", "torch_version"} <= set(model)
    write_index(tmp_path)
    assert (tmp_path / "index.json").read_bytes() == first


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match=r"bad\.safetensors is not a readable"):
        write_index(tmp_path)
    assert not (tmp_path / "index.json").exists()


def test_train_and_the_verb_keep_the_index_up_to_date(
    tiny: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config = tmp_path / "pretrained", tmp_path / "dots.yaml"
    monkeypatch.setattr(commands, "PRETRAINED", folder)
    config.write_text(
        "category: dots\nsteps: 1\ncrop_cells: 2\nwhole_images: 1\ncrops: 1\nlogic_crops: 1\nphotometric_copies: 1\n"
    )
    options = {"--config": config, "--data": tiny.data, "--penalty": tiny.penalty, "--teacher": tiny.teacher}
    options |= {"--run": tmp_path / "run", "--device": "cpu"}
    train = ["train", *(str(part) for pair in options.items() for part in pair)]
    assert main([*train, "--out", str(tmp_path / "elsewhere.safetensors")]) == 0
    assert not folder.exists()

    assert main(train) == 0
    assert [entry["file"] for entry in json.loads((folder / "index.json").read_text())] == ["dots.safetensors"]

    shutil.copy(tiny.teacher, folder)
    assert main(["index"]) == 0
    assert len(json.loads((folder / "index.json").read_text())) == 2

    (folder / "bad.safetensors").write_bytes(b"x")
    capsys.readouterr()
    assert main(train) == 0, "a trained model is a success, whatever lies beside it"
    assert "warning: the index" in capsys.readouterr().err
    assert main(["index"]) == 2
