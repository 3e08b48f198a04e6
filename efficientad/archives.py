"""The images in uploaded files: a file is one image, a zip many. Nothing is extracted to disk, nothing read ahead."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from efficientad.data import SUFFIXES
from efficientad.errors import InputError

IMAGES = (*SUFFIXES, ".gif")  # members of a zip with another ending are ignored, zips among them
MAX_IMAGES = 500
MAX_BYTES = 64 << 20  # of one image
MAX_TOTAL = 1 << 30  # of all images together, unpacked
MAX_RATIO = 200  # unpacked to packed; photos have about 1
MAX_DIRECTORY = 2 << 20  # bytes of a zip's list of members, which zipfile reads at once
# What zipfile unpacks in bounded portions; bzip2 and LZMA turn a few bytes into gigabytes in one call.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One image, or a zip that was refused. `read` gives the bytes of the file or raises InputError.

    name: of the file, of a zip's member `<zip>/<path in it>`. size: in bytes, unpacked.
    """

    name: str
    size: int
    read: Callable[[], bytes]


@contextmanager
def images_in(paths: Iterable[Path]) -> Iterator[list[Entry]]:
    """What there is to read in these files, in their order, members of a zip sorted; read within the context only.

    A bad zip (damaged, encrypted, a bomb, without images, with paths that lead out of it) is one entry, whose `read`
    raises InputError. Files of any other ending are taken for images: whoever decodes them will tell.

    Raises InputError for more than 500 images, or more than 1 GB of them.
    """
    with ExitStack() as stack:
        entries: list[Entry] = []
        for path in paths:
            entries += _of_zip(path, stack) if path.suffix.lower() == ".zip" else [_of_file(path)]
        if len(entries) > MAX_IMAGES:
            raise InputError(f"These are {len(entries)} images: send at most {MAX_IMAGES} at a time.")
        if sum(entry.size for entry in entries) > MAX_TOTAL:
            raise InputError(f"These images have more than {MAX_TOTAL >> 30} GB when unpacked: send fewer at a time.")
        yield entries


class _Wary(io.BufferedReader):
    """A file for zipfile, which reads as much at once as the file itself says that its list of members has."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise InputError("The zip has too many members: pack the images only.")
        return super().read(size)


def _of_file(path: Path) -> Entry:
    return Entry(path.name, path.stat().st_size, partial(_contents, lambda: path.open("rb")))


def _of_zip(path: Path, stack: ExitStack) -> list[Entry]:
    try:
        try:
            stream = stack.enter_context(_Wary(io.FileIO(path)))
            archive = stack.enter_context(zipfile.ZipFile(stream))
        except InputError:
            raise
        except Exception as error:  # on damaged ones zipfile raises much more than BadZipFile
            raise InputError("The zip is empty, damaged or not a zip: pack it again.") from error
        members = _members(archive)
    except InputError as error:
        return [Entry(path.name, 0, partial(_refuse, str(error)))]
    return [
        Entry(_printable(f"{path.name}/{member.filename}"), member.file_size, partial(_member, archive, member))
        for member in members
    ]


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The images of an archive, sorted by name. Raises InputError if it is not to be trusted, or holds none."""
    found = []
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or re.match("[A-Za-z]:", str(name)):
            raise InputError(f"The zip is refused, for it names a file outside itself ({_printable(str(name))[:80]}).")
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
        if member.is_dir() or hidden or name.suffix.lower() not in IMAGES:
            continue
        if member.flag_bits & 1:
            raise InputError("The zip is encrypted: pack it without a password.")
        if member.compress_type not in METHODS:
            raise InputError("The zip is packed with an unusual method: pack it with the usual one, deflate.")
        if member.file_size > max(CHUNK, MAX_RATIO * member.compress_size):
            raise InputError("The zip is refused, for it unpacks to more than 200 times its size: send the images.")
        found.append(member)
    if not found:
        raise InputError(f"The zip contains no images: pack some ({', '.join(IMAGES)}).")
    if sum(member.file_size for member in found) > MAX_TOTAL:
        raise InputError(f"The zip unpacks to more than {MAX_TOTAL >> 30} GB: pack fewer images into one.")
    return sorted(found, key=lambda member: member.filename)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return _contents(lambda: archive.open(member))
    except InputError:
        raise
    except Exception as error:
        raise InputError("The image is damaged in the zip: pack it again.") from error


def _contents(opened: Callable[[], IO[bytes]]) -> bytes:
    """All bytes; the limit counts what is read, for sizes in a zip may be lies."""
    found = bytearray()
    with opened() as stream:
        while chunk := stream.read(CHUNK):
            found += chunk
            if len(found) > MAX_BYTES:
                raise InputError(f"The image file is larger than {MAX_BYTES >> 20} MB: save it as JPEG or PNG.")
    return bytes(found)


def _refuse(sentence: str) -> bytes:
    raise InputError(sentence)


def _printable(name: str) -> str:
    """Without control characters, and without what UTF-8 cannot encode."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
