"""Which models lie in `pretrained/`."""

from __future__ import annotations

from pathlib import Path

from efficientad.errors import InputError

PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


def available(folder: str | Path = PRETRAINED) -> list[str]:
    """The categories that have a model file, sorted; an absent folder has none."""
    return sorted(p.stem for p in Path(folder).glob("*.safetensors") if not p.stem.startswith("teacher_"))


def find(name_or_path: str | Path, folder: Path = PRETRAINED) -> Path:
    """The file of a category, or of a path that ends in .safetensors.

    Raises:
        InputError: neither.
    """
    if str(name_or_path).endswith(".safetensors"):
        return Path(name_or_path)
    known = available(folder)
    if name_or_path not in known:
        options = f"choose one of {', '.join(known)}" if known else "train one first (python -m efficientad train)"
        raise InputError(f"There is no pretrained category {str(name_or_path)!r}; {options}.")
    return folder / f"{name_or_path}.safetensors"
