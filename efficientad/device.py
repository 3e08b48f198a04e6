"""Where to compute."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

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


Network = TypeVar("Network", bound=nn.Module)


def place(network: Network, device: torch.device) -> Network:
    """The network on a device, its weights in channels_last memory: 1.2 to 3 times faster on a CPU."""
    return network.to(device).to(memory_format=torch.channels_last)
