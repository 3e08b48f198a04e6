"""Zips from strangers: what is in them, and what is refused."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from efficientad import archives
from efficientad.archives import images_in
from efficientad.errors import InputError


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    """The sentence by which the only entry of a zip is refused."""
    with images_in([path]) as entries:
        (entry,) = entries
        assert entry.name == path.name
        with pytest.raises(InputError) as refused:
            entry.read()
    return str(refused.value)


def test_files_and_members_in_order(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"photo")
    content = {
        "good/b.PNG": b"b", "good/a.jpg": b"a", "c.gif": b"c", "notes.txt": b"-", "inner.zip": b"-",
        ".hidden.png": b"-", "__MACOSX/good/._a.jpg": b"-", ".git/d.png": b"-",
    }  # fmt: skip
    with images_in([pack(tmp_path / "parts.ZIP", content), photo]) as entries:
        assert [(entry.name, entry.size, entry.read()) for entry in entries] == [
            ("parts.ZIP/c.gif", 1, b"c"), ("parts.ZIP/good/a.jpg", 1, b"a"), ("parts.ZIP/good/b.PNG", 1, b"b"),
            ("photo.png", 5, b"photo"),
        ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.ZIP", "photo.png"]


def test_names_are_fit_for_printing(tmp_path: Path) -> None:
    with images_in([pack(tmp_path / "a.zip", {"x\ny\x1b[0m.png": b"1"})]) as entries:
        assert entries[0].name == "a.zip/x?y?[0m.png" and entries[0].read() == b"1"


@pytest.mark.parametrize("name", ["../a.png", "a/../../b.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "../notes.txt"])
def test_paths_that_lead_outside(tmp_path: Path, name: str) -> None:
    assert "a file outside itself" in refusal(pack(tmp_path / "a.zip", {"fine.png": b"1", name: b"2"}))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(17)])
def test_not_a_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert "damaged or not a zip" in refusal(path)


@pytest.mark.parametrize("members", [{}, {"notes.txt": b"1"}, {"inner.zip": b"1"}, {"__MACOSX/a.png": b"1"}])
def test_no_images(tmp_path: Path, members: dict[str, bytes]) -> None:
    assert "contains no images" in refusal(pack(tmp_path / "a.zip", members))


def test_bombs(tmp_path: Path) -> None:
    assert "200 times its size" in refusal(pack(tmp_path / "a.zip", {"a.png": bytes(50 << 20)}))
    packed = pack(tmp_path / "b.zip", {"a.png": bytes(50 << 20)}, zipfile.ZIP_BZIP2)
    assert packed.stat().st_size < 1000
    assert "unusual method" in refusal(packed)


def test_encrypted(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.png": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in refusal(path)


def test_a_long_list_of_members_is_not_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {f"{i:05}" + 200 * "x": b"" for i in range(9000)})
    assert "too many members" in refusal(path)


def test_a_damaged_member_leaves_the_others(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.png": b"first" * 9, "b.png": b"second"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"first", b"worst", 1))
    with images_in([path]) as entries:
        with pytest.raises(InputError, match="damaged in the zip"):
            entries[0].read()
        assert entries[1].read() == b"second"


def test_a_member_that_understates_its_size_is_not_unpacked_beyond(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.png": bytes(50 << 20)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 10)
    path.write_bytes(content)
    with images_in([path]) as entries, pytest.raises(InputError, match="damaged in the zip"):
        entries[0].read()


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "a.zip", {f"{i}.png": bytes(6) for i in range(4)})
    photo = tmp_path / "photo.png"
    photo.write_bytes(bytes(6))
    monkeypatch.setattr(archives, "MAX_BYTES", 5)
    with images_in([path, photo]) as entries:
        for entry in (entries[0], entries[4]):
            with pytest.raises(InputError, match="larger than"):
                entry.read()
    monkeypatch.setattr(archives, "MAX_TOTAL", 29)
    with pytest.raises(InputError, match="send fewer"), images_in([path, photo]):
        pass
    monkeypatch.setattr(archives, "MAX_TOTAL", 23)
    assert "pack fewer images" in refusal(path)
    monkeypatch.setattr(archives, "MAX_IMAGES", 1)
    with pytest.raises(InputError, match="These are 2 images: send at most 1"), images_in([path, photo]):
        pass  # the refused zip counts as one
