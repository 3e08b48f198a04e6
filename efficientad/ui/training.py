"""Training for a visitor: photos in, a model of their session out, in a thread that reports and can be stopped."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from efficientad.archives import images_in
from efficientad.checkpoint import Card
from efficientad.config import TrainConfig, make_config
from efficientad.data import MIN_GOOD, image_files
from efficientad.errors import InputError
from efficientad.images import SIZE, load_image
from efficientad.nets import CHANNELS, STRIDE
from efficientad.pipeline import train_category
from efficientad.train import Report
from efficientad.ui import gpu
from efficientad.zoo import Own, Zoo

MIN_MINUTES, MAX_MINUTES = 1, 60
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
OUTPUT_BYTES = (SIZE // STRIDE) ** 2 * CHANNELS * 2  # that a run keeps of the teacher, for each view of a photo
_one = threading.Lock()  # a stopped run may take seconds to end; the next one waits for it


class StoppedError(Exception):
    """The visitor has had enough of this training."""


@dataclass(frozen=True)
class Order:
    """What to train. good, defective: uploaded images, or zips of them; the defective ones are only scored."""

    name: str
    good: list[Path]
    defective: list[Path]
    minutes: float
    penalty: Path | None


@dataclass(frozen=True)
class Trained:
    """A finished model. good, defective: (N,), (M,) scores, without elements if there were no defective photos."""

    path: Path
    card: Card
    good: NDArray[np.float64]
    defective: NDArray[np.float64]


def configure(name: str, minutes: float, device: torch.device) -> TrainConfig:
    """The settings of a run: the preset of the device, and the visitor's time."""
    return make_config("The training", device.type, {"category": name, "minutes": float(minutes)})


def check(order: Order, taken: list[str]) -> None:
    """Raises InputError for a name, a time or a number of files that cannot be right; `taken` names exist already."""
    if not isinstance(order.name, str) or not NAME.fullmatch(order.name):
        raise InputError("Name the product with up to 40 letters (a to z), digits, _ and -, without spaces.")
    if order.name.lower().startswith("teacher_"):
        raise InputError("A name cannot start with 'teacher_', for the files of teachers do: choose another one.")
    if order.name.lower() in {name.lower() for name in taken}:
        raise InputError(f"There is a category {order.name!r} already: choose another name.")
    if not isinstance(order.minutes, (int, float)) or not MIN_MINUTES <= order.minutes <= MAX_MINUTES:
        raise InputError(f"The time must be {MIN_MINUTES} to {MAX_MINUTES} minutes.")
    if not order.good:
        raise InputError(f"Upload photos of good parts first, {MIN_GOOD} or more.")


class Training(threading.Thread):
    """One run, in files below `room` that are gone when it ends; of a finished one the model's folder stays.

    Attributes:
        at: what it does now, and "step", "steps" and more of it.
        losses: the rows of the log so far. result, error: how it ended, both None until then.
    """

    def __init__(self, zoo: Zoo, order: Order, room: Path) -> None:
        super().__init__(name=f"training {order.name}")
        self.zoo, self.order, self.room = zoo, order, room
        self.at: tuple[str, dict[str, float]] = ("waiting", {"step": 0, "steps": 1})
        self.losses: list[dict[str, float]] = []
        self.result: Trained | None = None
        self.error: Exception | None = None
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            with _one, tempfile.TemporaryDirectory(dir=self.room) as folder:
                self.result = make(self.zoo, self.order, Path(folder), self.room, self._report)
        except Exception as error:
            self.error = error

    def _report(self, stage: str, row: dict[str, float]) -> None:
        if self.stopped.is_set() or not threading.main_thread().is_alive():  # the server ends
            raise StoppedError
        if "hard" in row:
            self.losses.append(row)
        self.at = stage, row


def make(zoo: Zoo, order: Order, folder: Path, room: Path, report: Report) -> Trained:
    """Train in `folder`, score the photos if there are defective ones, then move the model to a new folder of `room`.

    Raises InputError for photos that cannot be read or are too few, and what `report` raises.
    """
    device = gpu.training_device()
    config = configure(order.name, order.minutes, device)
    report("waiting", {"step": 0, "steps": 1})
    good = unpack(order.good, folder / "good", report)
    defective = unpack(order.defective, folder / "defective", report)
    if len(good) < MIN_GOOD:
        raise InputError(f"{len(good)} different photos of good parts are too few: upload {MIN_GOOD} or more.")
    needed = (1 + config.photometric_copies) * len(good) * OUTPUT_BYTES
    if config.photometric_copies and shutil.disk_usage(folder).free < 1.2 * needed:  # a full disk would end the server
        raise InputError(f"The server's disk has no room for a training on {len(good)} photos: upload fewer.")
    out = folder / f"{order.name}.safetensors"
    card = train_category(
        config,
        good=good,
        penalty=image_files(order.penalty) if order.penalty else [],
        teacher=None,
        run=folder / "run",
        out=out,
        device=device,
        report=report,
    )
    kept = Path(tempfile.mkdtemp(dir=room)) / out.name
    shutil.move(out, kept)
    try:
        found = [score(zoo, order.name, kept, photos, report) for photos in (good if defective else [], defective)]
    except BaseException:
        shutil.rmtree(kept.parent)
        raise
    return Trained(kept, card, *found)


def unpack(uploads: list[Path], folder: Path, report: Report) -> list[Path]:
    """Write every different image of the uploads to `folder`. Raises InputError for one that cannot be read."""
    folder.mkdir()
    seen: dict[str, Path] = {}
    with images_in(uploads) as entries:
        for i, entry in enumerate(entries):
            report("photos", {"step": i, "steps": len(entries)})
            try:
                content = entry.read()
                load_image(content)
            except InputError as error:
                raise InputError(f"{entry.name}: {error}") from error
            digest = hashlib.sha256(content).hexdigest()
            if digest not in seen:
                # Numbered: names may be equal, or such as no file can have.
                seen[digest] = folder / f"{i:03}"
                seen[digest].write_bytes(content)
    return list(seen.values())


def score(zoo: Zoo, name: str, model: Path, photos: list[Path], report: Report) -> NDArray[np.float64]:
    """(N,) scores of photos."""
    scores = np.empty(len(photos))
    for i, photo in enumerate(photos):
        report("scores", {"step": i, "steps": len(photos)})
        scores[i] = gpu.predict(zoo, name, load_image(photo), {name: model}).score
    return scores


def forget(own: Own) -> None:
    """Remove the models of a session that has ended."""
    for path in own.values():
        shutil.rmtree(path.parent, ignore_errors=True)
