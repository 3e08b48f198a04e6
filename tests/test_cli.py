import csv
import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from efficientad.__main__ import main

from .conftest import TINY, TinyWorld, dots


def test_predict_writes_overlays_and_both_tables(tiny: TinyWorld, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "more/a.png"):
        Image.fromarray(dots(np.random.default_rng(1))).save(folder / name)
    out = tmp_path / "out"
    assert main(["predict", str(folder), "--category", str(tiny.model), "--out", str(out)]) == 0
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "category", "score", "threshold", "defective", "milliseconds", "error"]
    assert [Path(row["path"]).name for row in rows] == ["a.png", "a.png"]
    assert rows[0]["defective"] == str(float(rows[0]["score"]) > float(rows[0]["threshold"]))
    table = json.loads((out / "predictions.json").read_text())
    assert [row["score"] for row in table] == [float(row["score"]) for row in rows]
    for name in ("a.png", "a-2.png"):
        with Image.open(out / name) as picture:
            assert picture.size == (96, 96)


def test_a_corrupt_image_is_a_row_and_holds_up_no_other(
    tiny: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_text("this is no picture")
    Image.fromarray(dots(np.random.default_rng(1))).save(good)
    out = tmp_path / "out"
    assert main(["predict", str(bad), str(good), "--category", str(tiny.model), "--out", str(out)]) == 2
    first, second = json.loads((out / "predictions.json").read_text())
    assert "bad.png" in first["error"]
    assert first["score"] is None
    assert second["error"] == ""
    assert second["score"] is not None
    assert "1 of 2 images could not be read" in capsys.readouterr().err


BAD = [
    (["predict", "x.png", "--category", "nosuch", "--out", "{tmp}/o"], "no pretrained category 'nosuch'"),
    (["predict", "{tmp}", "--category", "{model}", "--out", "{tmp}/o"], "image"),
    (["predict", "x.png", "--category", "{tmp}/x.safetensors", "--out", "{tmp}/o"], "There is no model"),
    (["train", "--config", "{tmp}/none.yaml", "--data", "{tmp}"], "There is no configuration"),
    (["train", "--yaml_config", "{config}", "--data", "{tmp}/none", "--out", "{tmp}/o"], "none"),
    (["train", "--config", "{config}", "--data", "{tmp}", "--out", "{tmp}/o"], "holds no category"),
    (["train", "--config", "{config}", "--data", "{data}", "--teacher", "{tmp}/t", "--out", "{tmp}/o"], "no teacher"),
    (["distill", "--photos", "{tmp}/none", "--run", "{tmp}/run", "--out", "{tmp}/o"], "none"),
    (
        ["distill", "--photos", "{data}", "--backbone", "nosuch", "--run", "{tmp}/run", "--out", "{tmp}/o"],
        "timm knows no",
    ),
    (["predict", "x.png", "--category", "{model}", "--out", "{tmp}/o", "--device", "abacus"], "not available here"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tiny: TinyWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    config = tmp_path / "dots.yaml"
    config.write_text("category: dots\nsteps: 1\n")
    places = {"tmp": tmp_path, "model": tiny.model, "data": tiny.data, "config": config}
    assert main([a.format(**places) for a in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "o").exists()


def test_train_from_a_config_file(tiny: TinyWorld, tmp_path: Path) -> None:
    config = tmp_path / "dots.yaml"
    config.write_text(
        "category: dots\nsteps: 1\ncrop_cells: 2\nwhole_images: 1\ncrops: 1\nlogic_crops: 1\nphotometric_copies: 1\n"
    )
    out = tmp_path / "dots.safetensors"
    arguments = ["train", "--config", str(config), "--data", str(tiny.data), "--teacher", str(tiny.teacher)]
    with pytest.warns(UserWarning, match="No penalty images"):
        assert main([*arguments, "--out", str(out), "--run", str(tmp_path / "run"), "--device", "cpu"]) == 0
    from efficientad.checkpoint import load_model

    assert load_model(out, tiny.teacher)[1].penalty_images == 0


PROGRAM = """
import sys, efficientad.train as train
from efficientad.__main__ import main
train.SAVE_SECONDS, train.LOG_STEPS = -1, 1  # saves after every step
sys.exit(main(sys.argv[1:]))
"""


def test_kill_minus_9_and_the_same_command_again(tiny: TinyWorld, tmp_path: Path) -> None:
    """A real process, killed while it trains, ends with the weights of a run that was left alone."""
    config = tmp_path / "dots.yaml"
    settings = {k: v for k, v in dataclasses.asdict(TINY).items() if v is not None} | {"steps": 12}
    config.write_text(yaml.safe_dump(settings))

    def command(name: str) -> list[str]:
        out = tmp_path / f"{name}.safetensors"
        options = {"--config": config, "--data": tiny.data, "--penalty": tiny.penalty, "--teacher": tiny.teacher}
        options |= {"--run": tmp_path / name, "--out": out, "--device": "cpu"}
        return [sys.executable, "-c", PROGRAM, "train", *(str(part) for pair in options.items() for part in pair)]

    subprocess.run(command("unbroken"), check=True, capture_output=True)
    log = tmp_path / "killed" / "log.csv"
    process = subprocess.Popen(command("killed"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "it was killed before its end"
    assert not (tmp_path / "killed.safetensors").exists()
    done = len(log.read_text().splitlines()) - 1
    result = subprocess.run(command("killed"), check=True, capture_output=True, text=True)
    steps = [int(step) for step in re.findall(r"^(\d+)/12 ", result.stderr, re.MULTILINE)]
    assert steps[0] >= done, "it went on where it was killed"
    unbroken, killed = (load_file(tmp_path / f"{name}.safetensors") for name in ("unbroken", "killed"))
    assert all(torch.equal(value, killed[name]) for name, value in unbroken.items())


def test_the_library_and_the_command_line_do_not_import_gradio() -> None:
    code = "import efficientad.__main__, efficientad.detector, eval.__main__, sys; print('gradio' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
