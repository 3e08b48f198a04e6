"""`python -m efficientad data` against a server in a thread and a small archive of the same layout."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from efficientad import download
from efficientad.__main__ import main
from efficientad.errors import InputError

IMAGE = np.random.default_rng(0).bytes(100_000)  # does not compress, so that there is a middle to break off in
FILES = {
    "license.txt": b"CC BY-NC-SA 4.0",
    "leather/train/good/000.png": IMAGE,
    "leather/test/cut/000.png": b"cut",
    "leather/ground_truth/cut/000_mask.png": b"mask",
    "carpet/train/good/000.png": b"carpet",
}


def packed(files: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """A .tar.xz of these files, read-only as MVTec's are, and after them of members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o444
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member)
    return buffer.getvalue()


@dataclass
class Site:
    """What the server does: `breaks` closes the next connection after as many bytes, `html` sends a portal's page."""

    content: bytes
    ranges: bool = True
    breaks: int | None = None
    html: bool = False
    url: str = ""
    asked: list[str | None] = field(default_factory=list)  # Range headers

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers["Range"]
        self.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Type", "text/html" if self.html else "application/x-xz")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.breaks])
        self.breaks = None


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site(packed(FILES))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}/archive.tar.xz"
        yield site
        server.shutdown()


def get(site: Site, root: Path, *wanted: str) -> None:
    download.get(root, wanted or ("leather",), url=site.url, sha256=site.sha256)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def part_of(root: Path) -> Path:
    return root / f"{download.NAME}.part"


def test_the_whole_archive_and_one_category_of_it(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "new" / "root"
    get(site, root)
    assert names(root) == ["leather", download.NAME]
    assert {str(p.relative_to(root)): p.read_bytes() for p in (root / "leather").rglob("*") if p.is_file()} == {
        name: content for name, content in FILES.items() if name.startswith("leather/")
    }
    (root / "leather/test/cut/000.png").write_bytes(b"writable, whatever the archive says")
    get(site, root, "carpet")
    assert names(root) == ["carpet", "leather", download.NAME]
    assert site.asked == [None], "the archive in the folder was used"


def test_a_broken_download_is_resumed(site: Site, tmp_path: Path) -> None:
    site.breaks = 60_000
    with pytest.raises(InputError, match="broke off; run the same command again to resume"):
        get(site, tmp_path)
    assert names(tmp_path) == [part_of(tmp_path).name]
    assert part_of(tmp_path).read_bytes() == site.content[:60_000]
    get(site, tmp_path)
    assert site.asked == [None, "bytes=60000-"]
    assert names(tmp_path) == ["leather", download.NAME]


def test_a_server_that_cannot_resume_starts_again(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    part_of(tmp_path).write_bytes(b"x" * 1000)
    get(site, tmp_path)
    assert site.asked == ["bytes=1000-"]
    assert names(tmp_path) == ["leather", download.NAME]


def test_a_whole_part_is_only_verified(site: Site, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(site.content)
    get(site, tmp_path)
    assert names(tmp_path) == ["leather", download.NAME]


@pytest.mark.parametrize("before", [b"", b"x" * 1000, b"x" * 1_000_000])
def test_a_corrupted_download_is_deleted(site: Site, tmp_path: Path, before: bytes) -> None:
    if before:
        part_of(tmp_path).write_bytes(before)
    with pytest.raises(InputError, match="corrupted and has been deleted"):
        download.get(tmp_path, ["leather"], url=site.url, sha256="0" * 64)
    assert names(tmp_path) == []


def test_a_web_page_is_no_archive_and_spares_what_there_is(site: Site, tmp_path: Path) -> None:
    site.html, site.ranges = True, False
    part_of(tmp_path).write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match=r"is a web page.*--archive"):
        get(site, tmp_path)
    assert part_of(tmp_path).stat().st_size == 1000


def test_no_server_and_no_such_file(site: Site, tmp_path: Path) -> None:
    site.content = b""
    with pytest.raises(InputError, match=r"answers 416.*--archive"):
        get(site, tmp_path)
    with pytest.raises(InputError, match="cannot be reached"):
        download.get(tmp_path, ["leather"], url="http://127.0.0.1:9/x")


def test_an_archive_of_ones_own(site: Site, tmp_path: Path) -> None:
    own, root = tmp_path / "own.tar.xz", tmp_path / "root"
    own.write_bytes(site.content)
    download.get(root, ["leather"], own, sha256=site.sha256)
    assert names(root) == ["leather"]
    with pytest.raises(InputError, match="is not the archive of MVTec AD"):
        download.get(root, ["carpet"], own, sha256="0" * 64)
    assert own.exists(), "the user's file is never deleted"
    with pytest.raises(InputError, match="There is no archive"):
        download.get(root, ["carpet"], tmp_path / "none")


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (tarfile.TarInfo("../evil"), "outside itself"),
        (tarfile.TarInfo("leather/../../evil"), "outside itself"),
        (tarfile.TarInfo("/evil"), "outside itself"),
        (tarfile.TarInfo("leather/..\\..\\evil"), "outside itself"),
        (special("leather/link", tarfile.SYMTYPE, "../.."), "neither a file nor a folder"),
        (special("leather/link", tarfile.LNKTYPE, "license.txt"), "neither a file nor a folder"),
        (special("leather/device", tarfile.CHRTYPE), "neither a file nor a folder"),
        (special("leather/pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
    ids=lambda value: value.name if isinstance(value, tarfile.TarInfo) else "",
)
def test_a_hostile_member_leaves_nothing(tmp_path: Path, member: tarfile.TarInfo, message: str) -> None:
    archive, root = tmp_path / "hostile.tar.xz", tmp_path / "a" / "root"
    root.mkdir(parents=True)
    archive.write_bytes(packed(FILES, member))
    with pytest.raises(InputError, match=message):
        download.extract(archive, root, ["leather"])
    assert names(root) == []
    assert names(tmp_path) == ["a", "hostile.tar.xz"] and names(tmp_path / "a") == ["root"]


def test_a_category_that_the_archive_lacks(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold zipper"):
        get(site, tmp_path, "leather", "zipper")
    assert names(tmp_path) == ["leather", download.NAME]


@pytest.mark.parametrize("content", [b"", b"no archive", packed(FILES)[:50_000]], ids=["empty", "other", "truncated"])
def test_no_readable_archive(tmp_path: Path, content: bytes) -> None:
    archive, root = tmp_path / "bad.tar.xz", tmp_path / "root"
    archive.write_bytes(content)
    root.mkdir()
    with pytest.raises(InputError, match=r"not a readable \.tar\.xz"):
        download.extract(archive, root, ["leather"])
    assert names(root) == []


def test_what_a_killed_extraction_left_is_cleared(site: Site, tmp_path: Path) -> None:
    left = tmp_path / download.TEMPORARY / "leather" / "train"
    left.mkdir(parents=True)
    (left / "half.png").write_bytes(b"half")
    get(site, tmp_path)
    assert names(tmp_path) == ["leather", download.NAME]
    assert not (tmp_path / "leather/train/half.png").exists()


def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="choose another folder"):
        get(site, tmp_path / "file")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_command(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "get", partial(download.get, url=site.url, sha256=site.sha256))
    command = ["data", "--category", "leather", "--category", "carpet", "--root", str(tmp_path)]

    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert main(command) == 2
    assert "--accept-licence" in capsys.readouterr().err
    for refusal in ("no\n", ""):
        monkeypatch.setattr(sys, "stdin", Terminal(refusal))
        assert main(command) == 2
        assert "was not accepted" in capsys.readouterr().err
    assert names(tmp_path) == [] and site.asked == []

    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "CC BY-NC-SA 4.0" in printed
    assert f"train --config efficientad/configs/leather.yaml --data {tmp_path}" in printed
    assert names(tmp_path) == ["carpet", "leather", download.NAME]

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(command) == 0, "what is there needs no question"
    assert f"{tmp_path / 'leather'} is already there" in capsys.readouterr().out
    assert site.asked == [None]


def test_the_flag_accepts_and_an_unknown_name_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "get", partial(download.get, url=site.url, sha256=site.sha256))
    root = ["--root", str(tmp_path), "--accept-licence"]
    assert main(["data", "--category", "shoes", *root]) == 2
    assert "no category 'shoes': choose from bottle, " in capsys.readouterr().err
    assert main(["data", "--category", "leather", "carpet", *root]) == 0
    assert names(tmp_path) == ["carpet", "leather", download.NAME]


def test_every_category_has_a_configuration() -> None:
    from efficientad.config import CONFIGS

    assert sorted(path.stem for path in CONFIGS.glob("*.yaml")) == sorted(download.CATEGORIES)
