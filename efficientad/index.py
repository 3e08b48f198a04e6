"""pretrained/index.json: what every model file there is, without opening one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from efficientad.checkpoint import read_header, sha256
from efficientad.files import write_json
from efficientad.pretrained import PRETRAINED

NAME = "index.json"


def build_index(folder: Path = PRETRAINED) -> list[dict[str, Any]]:
    """An entry for every *.safetensors in the folder, sorted by name.

    `size` is in bytes, `network` is S or M, `teacher` the SHA-256 of the teacher's file.

    Raises:
        InputError: a file that is damaged or not of this program.
    """
    return [_entry(path) for path in sorted(folder.glob("*.safetensors"))]


def write_index(folder: Path = PRETRAINED) -> Path:
    """Write `build_index` to the folder's index.json, atomically; returns its path. Raises InputError likewise."""
    path = folder / NAME
    write_json(path, build_index(folder))
    return path


def _entry(path: Path) -> dict[str, Any]:
    header = read_header(path)
    entry = {"file": path.name, "sha256": sha256(path), "size": path.stat().st_size, "kind": header["kind"]}
    if header["kind"] == "teacher":
        own = {k: v for k, v in header.items() if k not in ("kind", "schema", "size")}
        return {**entry, "network": header["size"], "config": own}
    config = header["config"]
    return {
        **entry,
        "category": header["category"],
        "network": header["size"],
        "seed": config["seed"],
        "standard_split": config["standard_split"],
        "config": config,
        **{name: header[name] for name in ("data_hash", "good_images", "penalty_images", "steps", "minutes")},
        "teacher": header["teacher"],
        "torch_version": header["torch_version"],
    }
