"""One safetensors file per model, with all that inference needs; the teacher, which all share, lies beside it once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from efficientad.calibrate import Calibration
from efficientad.domain import LENIENCE, Domain
from efficientad.errors import InputError
from efficientad.files import write_bytes
from efficientad.images import MEAN, SIZE, STD
from efficientad.nets import EfficientAD
from efficientad.pretrained import PRETRAINED

SCHEMAS = {"teacher": 1, "model": 2}
DOMAIN = ("domain.centre", "domain.allowance")
PREPROCESSING = {"size": SIZE, "filter": "PIL bilinear, antialiased", "mean": list(MEAN), "std": list(STD)}


@dataclass(frozen=True)
class Card:
    """What a model file says of itself, beside its weights.

    `config` is the training configuration, `data_hash` that of the good images, `penalty_images` their number
    (0: trained without, so that it may overlook defects), `teacher` the SHA-256 of the teacher's file, `domain`
    what good images look like to that teacher.
    """

    category: str
    size: str
    calibration: Calibration
    domain: Domain
    config: dict[str, Any]
    data_hash: str
    good_images: int
    penalty_images: int
    steps: int
    minutes: float
    teacher: str
    code_version: str
    torch_version: str


def save_teacher(teacher: nn.Sequential, path: Path, meta: dict[str, Any]) -> str:
    """Write a teacher as float16; returns the SHA-256 of the file. `meta` says how it was made."""
    return _write(path, teacher.state_dict(), {"kind": "teacher", "schema": SCHEMAS["teacher"], **meta})


def load_teacher(path: Path, model: EfficientAD) -> str:
    """Load a teacher into `model`; returns the SHA-256 of the file.

    Raises:
        InputError: no such file, damaged, or of another size or schema.
    """
    meta, tensors = _read(path, "teacher")
    if meta.get("size") != model.size:
        raise InputError(f"{path} is a teacher of size {meta.get('size')}; a size {model.size} one is needed here.")
    _fill(model.teacher, tensors, path)
    return sha256(path)


def round_to_stored(model: EfficientAD) -> None:
    """Round the weights of student and autoencoder to float16, which is what a file holds: calibrate after this."""
    with torch.no_grad():
        for part in (model.student, model.autoencoder):
            for p in part.parameters():
                p.copy_(p.half().float())


def save_model(model: EfficientAD, card: Card, path: Path) -> None:
    """Write student, autoencoder (float16), statistics and domain (float32) and the card to one file."""
    tensors = {f"student.{k}": v for k, v in model.student.state_dict().items()}
    tensors |= {f"autoencoder.{k}": v for k, v in model.autoencoder.state_dict().items()}
    exact = {"mean": model.mean, "std": model.std}
    exact |= dict(zip(DOMAIN, (card.domain.centre, card.domain.allowance), strict=True))
    meta = {"kind": "model", "schema": SCHEMAS["model"], "preprocessing": PREPROCESSING}
    meta |= {field.name: getattr(card, field.name) for field in dataclasses.fields(Card)}
    meta |= {
        "calibration": dataclasses.asdict(card.calibration),
        "domain": {name: getattr(card.domain, name) for name in ("noise", "limit", "outer")},
    }
    _write(path, tensors, meta, exact)


def load_model(path: Path, teacher: Path | None = None) -> tuple[EfficientAD, Card]:
    """The model of a file written by `save_model`, on the CPU in evaluation mode, and its card.

    The teacher is looked for beside the file and in `pretrained/` if no other file is named.

    Raises:
        InputError: missing, damaged, of another schema, or without the teacher it was trained with.
    """
    meta, tensors = _read(path, "model")
    if meta["preprocessing"] != PREPROCESSING:
        raise InputError(f"{path} was made with another preprocessing; train the model again with this version.")
    fields = {f.name: meta[f.name] for f in dataclasses.fields(Card)}
    stored = meta["calibration"]
    stored |= {name: tuple(stored[name]) for name in ("structural", "logical")}
    fields["calibration"] = Calibration(**stored)  # the first models do not name the weight: it was the paper's
    fields["domain"] = _domain(meta, tensors, path)
    card = Card(**fields)
    model = EfficientAD("M" if card.size == "M" else "S")
    teacher_path = teacher or _teacher_of(card, path)
    if load_teacher(teacher_path, model) != card.teacher:
        raise InputError(f"{teacher_path} is not the teacher that {path.name} was trained with; pass that one.")
    for name, part in (("student", model.student), ("autoencoder", model.autoencoder)):
        prefix = f"{name}."
        _fill(part, {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}, path)
    model.mean.copy_(tensors["mean"])
    model.std.copy_(tensors["std"])
    return model.eval().to(memory_format=torch.channels_last), card


def load_domain(path: Path) -> tuple[str, Domain]:
    """SHA-256 of the teacher and the domain of a model file, without its weights.

    Raises:
        InputError: missing, damaged or of another schema.
    """
    meta, tensors = _read(path, "model", DOMAIN)
    return meta["teacher"], _domain(meta, tensors, path)


def read_header(path: Path) -> dict[str, Any]:
    """What the file of a teacher or a model says of itself, without its tensors; "kind" tells which it is.

    Raises:
        InputError: missing, damaged or of another schema.
    """
    return _read(path, "teacher" if path.name.startswith("teacher_") else "model", ())[0]


def _domain(meta: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> Domain:
    if not set(DOMAIN) <= set(tensors):
        raise InputError(f"The tensors of {path} do not fit the network; train the model again.")
    centre, allowance = (tensors[name] for name in DOMAIN)
    stored = meta["domain"]
    return Domain(centre, stored["noise"], allowance, stored["limit"], stored.get("outer", LENIENCE * stored["limit"]))


def _teacher_of(card: Card, path: Path) -> Path:
    """The teacher of a model by its hash, whatever its name: models outlive the arrival of a better teacher."""
    for folder in (path.parent, PRETRAINED):
        for candidate in sorted(folder.glob("teacher_*.safetensors")):
            if sha256(candidate) == card.teacher:
                return candidate
    raise InputError(
        f"The teacher that {path.name} was trained with is not beside it; put {teacher_name(card.size)} with the "
        f"SHA-256 {card.teacher[:12]}… into its folder."
    )


def teacher_name(size: str) -> str:
    """File name of the teacher of a size."""
    return f"teacher_{size.lower()}.safetensors"


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, weights: dict[str, Tensor], meta: dict[str, Any], exact: dict[str, Tensor] | None = None) -> str:
    """`weights` are stored as float16, `exact` tensors as float32."""
    stored = {k: v.half() for k, v in weights.items()} | {k: v.float() for k, v in (exact or {}).items()}
    # safetensors refuses channels_last memory, hence contiguous().
    stored = {k: v.detach().cpu().contiguous() for k, v in stored.items()}
    data = save(stored, metadata={"efficientad": json.dumps(meta)})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, kind: str, names: tuple[str, ...] | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of these names, or all, as float32."""
    if not path.is_file():
        raise InputError(f"There is no {kind} {path}; pass the path of a .safetensors file made by this program.")
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("efficientad", "{}"))
            tensors = {n: file.get_tensor(n).float() for n in file.keys() if names is None or n in names}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable safetensors file; copy or train it again.") from error
    if meta.get("kind") != kind:
        raise InputError(f"{path} is not a {kind} of this program; pass a file that its own commands wrote.")
    if meta.get("schema") != SCHEMAS[kind]:
        raise InputError(
            f"{path} has schema {meta.get('schema')}, this version reads {SCHEMAS[kind]}; train the {kind} again."
        )
    return meta, tensors


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"The tensors of {path} do not fit the network; train the model again.") from error
