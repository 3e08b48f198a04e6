"""A small memory of the trained models in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from efficientad.checkpoint import Card, load_domain
from efficientad.detector import Detector, Prediction
from efficientad.domain import Domain, Fit, judge
from efficientad.errors import InputError
from efficientad.images import Source
from efficientad.pretrained import PRETRAINED, available

__all__ = ["PRETRAINED", "Own", "Zoo", "available"]

Own = Mapping[str, Path]  # models that only one user has: category -> file


@dataclass
class _Slot:
    """One model's place in memory. The lock is held while the model is loaded and while it runs."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    detector: Detector | None = None
    written: int = 0  # when the file was written that the detector is from, in nanoseconds


class Zoo:
    """Loads detectors on demand, keeps the `capacity` most recently used, and may be shared by threads.

    Every model has its own lock: two callers never interleave in one model, and the loading of one model
    does not hold up another.
    """

    def __init__(
        self,
        capacity: int = 4,
        *,
        pretrained_dir: str | Path = PRETRAINED,
        load: Callable[[Path], Detector] = Detector.load,
        look_up: Callable[[Path], tuple[str, Domain]] = load_domain,
    ) -> None:
        assert capacity >= 1, f"capacity must be at least 1, got {capacity}"
        self.capacity = capacity
        self.pretrained_dir = Path(pretrained_dir)
        self._load, self._look_up = load, look_up
        self._domains: dict[Path, tuple[int, str, Domain]] = {}  # when written, the teacher, what it looks like
        self._slots: OrderedDict[Path, _Slot] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()  # guards _slots; never held while a model loads or runs

    def categories(self, own: Own | None = None) -> list[str]:
        """The categories that `get` and `predict` accept now, also those trained a moment ago."""
        shared = available(self.pretrained_dir)
        return shared + [name for name in own or {} if name not in shared]

    def get(self, category: str, own: Own | None = None) -> Detector:
        """The detector of `category`. Raises InputError for a category without a model file.

        The caller has the detector to itself only if no one else has asked for it: threads use `predict`.
        """
        path = self._path(category, own)
        slot = self._slot(path)
        with slot.lock:
            return self._detector(slot, path)

    def predict(self, category: str, source: Source, own: Own | None = None) -> Prediction:
        """`get(category).predict(source)`, waiting while another thread runs the same model."""
        path = self._path(category, own)
        slot = self._slot(path)
        with slot.lock:
            return self._detector(slot, path).predict(source)

    def card(self, category: str, own: Own | None = None) -> Card:
        """How the model of `category` was made. Raises InputError for a category without a model file."""
        return self.get(category, own).card

    def fit(self, category: str, summary: Tensor, own: Own | None = None) -> Fit:
        """Whether an image with the `summary` of a Prediction is of the category, among all with the same teacher."""
        found = {name: self._domain(self._path(name, own)) for name in self.categories(own)}
        teacher = found[category][0]
        return judge(category, summary, {name: domain for name, (of, domain) in found.items() if of == teacher})

    def _domain(self, path: Path) -> tuple[str, Domain]:
        written = _written(path)
        if path not in self._domains or self._domains[path][0] != written:
            self._domains[path] = (written, *self._look_up(path))
        return self._domains[path][1:]

    def _path(self, category: str, own: Own | None) -> Path:
        categories = self.categories(own)
        if category not in categories:  # also keeps names such as "../secret" away from the file system
            known = f"choose one of {', '.join(categories)}" if categories else "train one first"
            raise InputError(f"There is no trained model for the category {category!r}: {known}.")
        if own and category in own:
            return own[category]
        return self.pretrained_dir / f"{category}.safetensors"

    def _slot(self, path: Path) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(path, _Slot())
            self._slots.move_to_end(path)
            while len(self._slots) > self.capacity:
                self._slots.popitem(last=False)  # lives on in a thread that still uses it
            return slot

    def _detector(self, slot: _Slot, path: Path) -> Detector:
        written = _written(path)
        if slot.detector is None or slot.written != written:
            slot.detector, slot.written = self._load(path), written
        return slot.detector


def _written(path: Path) -> int:
    """When a model file was written, in nanoseconds."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError as error:  # deleted between the listing and now
        raise InputError(f"The model of {path.stem!r} is no longer there: choose another category.") from error
