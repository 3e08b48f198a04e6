"""Where to compute."""

from __future__ import annotations

import torch

from efficientad.errors import InputError


def pick_device(name: str | None = None) -> torch.device:
    """The named device, or a GPU if there is one, else the CPU.

    Raises:
        InputError: unknown or not available here.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device {name!r} is not available here; use --device cpu.") from error
    return device
