"""SIGKILL in the middle of a long command, the same command again: the same weights as without."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from .conftest import TinyWorld

ROOT = Path(__file__).resolve().parent.parent
TRAIN = """
import dataclasses, sys
from pathlib import Path
import torch
import efficientad.train as module
from efficientad.pipeline import train_category
from tests.conftest import TINY

module.SAVE_SECONDS, module.LOG_STEPS = -1, 1  # every step is kept
good, natural, teacher, run = map(Path, sys.argv[1:])
train_category(
    dataclasses.replace(TINY, steps=12), good=sorted(good.iterdir()), penalty=sorted(natural.iterdir()),
    teacher=teacher, run=run, out=run / "end.safetensors", device=torch.device("cpu"),
)
"""
DISTIL = """
import dataclasses, sys
from pathlib import Path
import torch
import efficientad.distill as module
from efficientad.checkpoint import save_teacher
from tests.test_distill import TINY, cache

module.SAVE_STEPS = module.LOG_STEPS = 1
run = Path(sys.argv[1])
run.mkdir(exist_ok=True)
config = dataclasses.replace(TINY, steps=12)
teacher = module.distill(cache(run), config, run / "state.pt", torch.device("cpu"), lambda row: None)
save_teacher(teacher, run / "end.safetensors", {"size": "S"})
"""


def start(script: str, *arguments: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"}, stderr=subprocess.PIPE)


def finish(process: "subprocess.Popen[bytes]") -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def step(state: Path) -> int:
    return torch.load(state, weights_only=True)["step"] if state.exists() else 0


def check(script: str, *arguments: Path, folder: Path) -> None:
    whole, broken = folder / "whole", folder / "broken"
    finish(start(script, *arguments, whole))
    process = start(script, *arguments, broken)
    deadline = time.monotonic() + 200
    while not step(broken / "state.pt"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < step(broken / "state.pt") < 12 and not (broken / "end.safetensors").exists()
    finish(start(script, *arguments, broken))
    expected, found = (load_file(run / "end.safetensors") for run in (whole, broken))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_a_killed_training_ends_with_the_same_model(tiny: TinyWorld, tmp_path: Path) -> None:
    check(TRAIN, tiny.good[0].parent, tiny.penalty, tiny.teacher, folder=tmp_path)


def test_a_killed_distillation_ends_with_the_same_teacher(tmp_path: Path) -> None:
    check(DISTIL, folder=tmp_path)
