"""MVTec AD from its archive: fetched with resumption, verified, and only the wanted categories extracted.

The program was tested against a local server; from where it was written, URL could not be reached.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tarfile
import urllib.request
from collections.abc import Collection, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError

from tqdm import tqdm

from efficientad.errors import InputError

PAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
URL = (
    "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/"
    "mvtec_anomaly_detection.tar.xz"
)
SHA256 = "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"
NAME = "mvtec_anomaly_detection.tar.xz"
LICENCE = f"MVTec AD is CC BY-NC-SA 4.0 (© MVTec Software GmbH): not for commercial use. {PAGE}"
CATEGORIES = (  # in the order of the paper's tables: textures, then objects
    "carpet", "grid", "leather", "tile", "wood", "bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill",
    "screw", "toothbrush", "transistor", "zipper",
)  # fmt: skip
CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte
TEMPORARY = ".extracting"  # hidden, so that data.py does not take it for a category
BAR: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}


def missing(root: Path, wanted: Collection[str]) -> list[str]:
    """Those of the wanted categories, or of all if none is named, that root does not have; sorted.

    Raises InputError for a name that is not one of MVTec AD's.
    """
    for name in wanted:
        if name not in CATEGORIES:
            raise InputError(f"MVTec AD has no category {name!r}: choose from {', '.join(sorted(CATEGORIES))}.")
    return [name for name in sorted(wanted or CATEGORIES) if not (root / name).exists()]


def agree(accepted: bool) -> None:
    """Show the licence and, unless it was accepted beforehand, ask. Raises InputError without a "yes"."""
    print(LICENCE)
    if accepted:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputError("There is no terminal to ask on: pass --accept-licence if you accept the licence of MVTec AD.")
    try:
        answer = input("Type yes to accept: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() != "yes":
        raise InputError("The licence was not accepted, so nothing was done: type yes or pass --accept-licence.")


def get(root: Path, wanted: Collection[str], archive: Path | None = None, url: str = URL, sha256: str = SHA256) -> None:
    """Put the wanted categories into root, from `archive` or else from url; the same call resumes a broken one.

    A downloaded archive stays in root. Not for two processes at a time with the same root.

    Raises:
        InputError: no connection, a wrong archive, a category that it does not hold, or no room on the disk.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        extract(_own(archive, sha256) if archive else download(root / NAME, url, sha256), root, wanted)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{error.filename or root}: {reason}; make room, or choose another folder.") from error


def download(path: Path, url: str = URL, sha256: str = SHA256) -> Path:
    """Fetch url into path, through `<path>.part`, of which an existing one is gone on with; returns path.

    Raises:
        InputError: no connection, one that broke off, or other content than expected, which is then deleted.
    """
    if path.exists():
        return _own(path, sha256)
    part = path.with_name(f"{path.name}.part")
    _fetch(url, part)
    if _digest(part) != sha256:
        part.unlink()
        raise InputError(f"The download of {url} was corrupted and has been deleted; run the same command again.")
    os.replace(part, path)
    return path


def extract(archive: Path, root: Path, wanted: Collection[str]) -> None:
    """Extract the wanted categories of a .tar.xz into root; each appears there whole or not at all.

    Raises:
        InputError: not a .tar.xz, a member that leads out of root or is neither file nor folder, or no such category.
    """
    temporary = root / TEMPORARY
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir()
    try:
        with (
            archive.open("rb") as file,
            tqdm.wrapattr(file, "read", total=archive.stat().st_size, desc="extracting", **BAR) as packed,
        ):
            _unpack(packed, temporary, wanted)
        found = [name for name in wanted if (temporary / name / "train").is_dir()]
        for name in found:
            os.replace(temporary / name, root / name)
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{archive} is not a readable .tar.xz: download it again from {PAGE}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if absent := [name for name in wanted if name not in found]:
        raise InputError(f"{archive} does not hold {', '.join(absent)}: download it again from {PAGE}.")


def _fetch(url: str, part: Path) -> None:
    """Append to `part` what it lacks of url, or start again if the server cannot do that."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing is lacking: the checksum will tell
            return
        raise InputError(f"{url} answers {error.code}: get the archive from {PAGE} and pass --archive.") from error
    except (OSError, HTTPException) as error:
        raise InputError(f"{url} cannot be reached ({error}); run the same command again later to resume.") from error
    with response:
        if response.headers.get_content_type() == "text/html":  # a portal, or the archive has moved
            raise InputError(f"{url} is a web page, no archive: get it from {PAGE} and pass --archive.")
        resumed = response.status == 206
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(desc="downloading", initial=start, total=total, **BAR) as bar,
        ):
            for chunk in _chunks(response):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        raise InputError(_broken(url))


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read1(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise InputError(_broken(response.url)) from error


def _broken(url: str) -> str:
    return f"The connection to {url} broke off; run the same command again to resume."


def _own(archive: Path, sha256: str) -> Path:
    """An archive that was there before, which is therefore never deleted."""
    if not archive.is_file():
        raise InputError(f"There is no archive {archive}: check the path, or omit --archive to download it.")
    if _digest(archive) != sha256:
        raise InputError(f"{archive} is not the archive of MVTec AD, or damaged (SHA-256): get it from {PAGE}.")
    return archive


def _digest(path: Path) -> str:
    """SHA-256 of a file of some gigabytes."""
    total = hashlib.sha256()
    with path.open("rb") as file, tqdm(desc="verifying", total=path.stat().st_size, **BAR) as bar:
        while chunk := file.read(CHUNK):
            total.update(chunk)
            bar.update(len(chunk))
    return total.hexdigest()


def _unpack(packed: Any, folder: Path, wanted: Collection[str]) -> None:
    """Write the wanted categories of a .tar.xz stream (has `read`) into a folder, without the members' permissions."""
    with tarfile.open(fileobj=packed, mode="r|xz") as tar:
        for member in tar:
            path = _checked(member)
            if not path.parts or path.parts[0] not in wanted:
                continue
            target = folder / path
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                raise InputError(f"The archive is refused, for {member.name!r} is neither a file nor a folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK)


def _checked(member: tarfile.TarInfo) -> PurePosixPath:
    """Path of a member. By hand, for the filters of tarfile are newer than Python 3.10."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or not member.name.isprintable():
        raise InputError(f"The archive is refused, for it names a file outside itself ({member.name!r}).")
    return path
