"""Sections of the README that a command writes stand between two markers."""

from __future__ import annotations

from pathlib import Path

from efficientad.errors import InputError
from efficientad.files import write_bytes


def replace(readme: Path, name: str, text: str) -> None:
    """Put `text` between <!-- name --> and <!-- /name -->, atomically.

    Raises:
        InputError: the file has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    content = readme.read_text(encoding="utf-8")
    if begin not in content or end not in content:
        raise InputError(f"{readme} has no markers {begin} and {end}; put them where the section belongs.")
    before, rest = content.split(begin, 1)
    write_bytes(readme, f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}".encode())
