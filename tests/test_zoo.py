"""The memory of models: what is loaded, when it is forgotten, and that threads do not collide."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from efficientad.errors import InputError
from efficientad.zoo import Zoo, available


class Counter:
    """A loader that remembers what it loaded."""

    def __init__(self, detector=lambda path: object()) -> None:
        self.loaded: list[str] = []
        self.detector = detector

    def __call__(self, path: Path):
        self.loaded.append(path.stem)
        return self.detector(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("screw", "bottle", "pill", "teacher_s"):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_available(folder: Path) -> None:
    assert available(folder) == ["bottle", "pill", "screw"]
    assert available(folder / "absent") == []


def test_new_models_are_seen(folder: Path) -> None:
    zoo = Zoo(pretrained_dir=folder, load=Counter())
    assert zoo.categories() == ["bottle", "pill", "screw"]
    (folder / "wood.safetensors").touch()
    assert "wood" in zoo.categories()
    zoo.get("wood")


def test_loads_once_and_forgets_the_least_recently_used(folder: Path) -> None:
    load = Counter()
    zoo = Zoo(2, pretrained_dir=folder, load=load)
    bottle = zoo.get("bottle")
    zoo.get("pill")
    assert zoo.get("bottle") is bottle
    zoo.get("screw")  # forgets pill, not bottle
    assert zoo.get("bottle") is bottle
    assert load.loaded == ["bottle", "pill", "screw"]
    zoo.get("pill")
    assert load.loaded == ["bottle", "pill", "screw", "pill"]


@pytest.mark.parametrize("name", ["wood", "", "../bottle", "teacher_s", "bottle.safetensors"])
def test_unknown_category(folder: Path, name: str) -> None:
    load = Counter()
    with pytest.raises(InputError, match="choose one of bottle, pill, screw"):
        Zoo(pretrained_dir=folder, load=load).get(name)
    assert load.loaded == []


def test_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train one first"):
        Zoo(pretrained_dir=tmp_path / "absent", load=Counter()).predict("bottle", "x.png")


def test_a_failed_load_is_tried_again(folder: Path) -> None:
    answers = iter([InputError("damaged"), "a detector"])

    def load(path: Path):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    zoo = Zoo(pretrained_dir=folder, load=load)
    with pytest.raises(InputError, match="damaged"):
        zoo.get("pill")
    assert zoo.get("pill") == "a detector"


def test_threads_share_one_load(folder: Path) -> None:
    gate = threading.Barrier(8)

    def slow(path: Path) -> object:
        threading.Event().wait(0.05)
        return object()

    load = Counter(slow)
    zoo = Zoo(pretrained_dir=folder, load=load)

    def ask(_: int):
        gate.wait(10)
        return zoo.get("pill")

    with ThreadPoolExecutor(8) as pool:
        assert len({id(detector) for detector in pool.map(ask, range(8))}) == 1
    assert load.loaded == ["pill"]


class Watched:
    """Notices a second caller inside `predict`."""

    def __init__(self, path: Path) -> None:
        self.busy = threading.Lock()

    def predict(self, source: int) -> int:
        assert self.busy.acquire(blocking=False), "two callers in one model"
        threading.Event().wait(0.01)
        self.busy.release()
        return source


def test_callers_never_interleave_in_one_model(folder: Path) -> None:
    zoo = Zoo(pretrained_dir=folder, load=Watched)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: zoo.predict("pill", i), range(16))) == list(range(16))


class Meeting:
    """`predict` returns only when both models are inside."""

    gate: threading.Barrier

    def predict(self, source: int) -> int:
        return self.gate.wait(10)


def test_different_models_run_side_by_side(folder: Path) -> None:
    meeting = Meeting()
    meeting.gate = threading.Barrier(2)
    zoo = Zoo(pretrained_dir=folder, load=lambda path: meeting)
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda name: zoo.predict(name, 0), ["pill", "screw"])) == {0, 1}


def test_a_slow_load_does_not_hold_up_other_models(folder: Path) -> None:
    started, release = threading.Event(), threading.Event()

    def load(path: Path) -> str:
        if path.stem == "pill":
            started.set()
            assert release.wait(10)
        return path.stem

    zoo = Zoo(pretrained_dir=folder, load=load)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(zoo.get, "pill")
        assert started.wait(10)
        assert zoo.get("screw") == "screw"
        assert not slow.done()
        release.set()
        assert slow.result(10) == "pill"
