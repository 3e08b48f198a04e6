"""A small memory of the trained models in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from efficientad.detector import Detector, Prediction
from efficientad.errors import InputError
from efficientad.images import Source
from efficientad.pretrained import PRETRAINED, available

__all__ = ["PRETRAINED", "Zoo", "available"]


@dataclass
class _Slot:
    """One model's place in memory. The lock is held while the model is loaded and while it runs."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    detector: Detector | None = None


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
    ) -> None:
        assert capacity >= 1, f"capacity must be at least 1, got {capacity}"
        self.capacity = capacity
        self.pretrained_dir = Path(pretrained_dir)
        self._load = load
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()  # guards _slots; never held while a model loads or runs

    def categories(self) -> list[str]:
        """The categories that `get` and `predict` accept now, also those trained a moment ago."""
        return available(self.pretrained_dir)

    def get(self, category: str) -> Detector:
        """The detector of `category`. Raises InputError for a category without a model file.

        The caller has the detector to itself only if no one else has asked for it: threads use `predict`.
        """
        slot = self._slot(category)
        with slot.lock:
            return self._detector(slot, category)

    def predict(self, category: str, source: Source) -> Prediction:
        """`get(category).predict(source)`, waiting while another thread runs the same model."""
        slot = self._slot(category)
        with slot.lock:
            return self._detector(slot, category).predict(source)

    def _slot(self, category: str) -> _Slot:
        categories = self.categories()
        if category not in categories:  # also keeps names such as "../secret" away from the file system
            known = f"choose one of {', '.join(categories)}" if categories else "train one first"
            raise InputError(f"There is no trained model for the category {category!r}: {known}.")
        with self._lock:
            slot = self._slots.setdefault(category, _Slot())
            self._slots.move_to_end(category)
            while len(self._slots) > self.capacity:
                self._slots.popitem(last=False)  # lives on in a thread that still uses it
            return slot

    def _detector(self, slot: _Slot, category: str) -> Detector:
        if slot.detector is None:
            slot.detector = self._load(self.pretrained_dir / f"{category}.safetensors")
        return slot.detector
