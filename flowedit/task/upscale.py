"""A small face enlarged by a Real-ESRGAN network for the guide to look at; the photo itself keeps its size.

The checkpoint is a user's own: none is shipped and none is fetched.
"""

from __future__ import annotations

import functools
import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.checks import as_device, describe, require
from flowedit.face.crop import Crop, extract
from flowedit.face.light import is_gray
from flowedit.guide.checkpoint import file_digest, safe_checkpoint
from flowedit.photo.photo import Photo

SMALL = 0.5  # share of the guide's crop, along a side, below which a face is enlarged
CELL_PX = 4  # sides of what the network is shown are multiples: it folds 2 x 2 or 4 x 4 pixels together
LEAST_PX = 16
SCALES = {3: 4, 12: 2, 48: 1}  # channels that it begins with -> times that it enlarges
MOST_BYTES = 512 << 20
MOST_FEATURES, MOST_BLOCKS = 256, 64
KINDS = ("params_ema", "params", "state_dict")  # under which Real-ESRGAN's files keep the weights, best first
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Upscaler:
    """A network that enlarges pictures.

    Attributes:
        network: (B, 3, h, w) in [0, 1] to (B, 3, scale h, scale w); in evaluation mode.
        scale: 1, 2 or 4.
        name: of its file, without a folder.
        sha256: digest of its file.
    """

    network: nn.Module
    scale: int
    name: str
    sha256: str


def load_upscaler(path: Path, device: str = "auto") -> Upscaler:
    """Load a checkpoint of RRDBNet, as Real-ESRGAN publishes them; the same one again is returned from memory.

    Args:
        path: a .pth, read without running what is in it, or a .safetensors; with the names of Real-ESRGAN.
        device: where it will work.

    Raises:
        ValueError: no such file, or it holds something else; one line that names it.
        RuntimeError: the installed kornia has no RRDBNet.
    """
    path = path.expanduser()
    require(path.is_file(), f"upscaler must be a file of Real-ESRGAN's weights; got {path}, which is none")
    state = path.stat()
    require(state.st_size <= MOST_BYTES, f"upscaler must have at most {MOST_BYTES} bytes; got {state.st_size}: {path}")
    with _LOCK:
        return _load(path.absolute(), (state.st_size, state.st_mtime_ns), as_device(device))


@functools.lru_cache(maxsize=1)
def _load(path: Path, stamp: tuple[int, int], device: torch.device) -> Upscaler:
    rrdbnet = _rrdbnet()
    try:
        network = _build(rrdbnet, _read(path))
    except Exception as error:  # safetensors and pickle have error types of their own
        reason = " ".join(str(error).split())
        raise ValueError(f"upscaler must be Real-ESRGAN's weights of an RRDBNet; got {path}: {reason:.200}") from error
    return Upscaler(network.to(device), network.scale, path.name, file_digest(path))


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, float32."""
    with safe_checkpoint(path) as (file, _):
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    weights = next((content[kind] for kind in KINDS if kind in content), content)
    require(isinstance(weights, Mapping), f"its weights must be names with tensors; got {describe(weights)}")
    for name, value in weights.items():
        require(isinstance(value, Tensor), f"{name} must be a tensor; got {describe(value)}")
        finite = value.is_floating_point() and bool(torch.isfinite(value).all())
        require(finite, f"{name} must be finite floating-point numbers; got others")
    return {name: value.float() for name, value in weights.items()}


def _build(rrdbnet: Any, weights: Mapping[str, Tensor]) -> Any:
    """Build the network of the sizes that the weights have."""
    first, growth = weights.get("conv_first.weight"), weights.get("body.0.rdb1.conv1.weight")
    require(first is not None and growth is not None, "it must have conv_first and body; got other names")
    assert first is not None and growth is not None
    shaped = first.ndim == growth.ndim == 4 and first.shape[1] in SCALES
    require(shaped, f"it must enlarge 3 channels by 1, 2 or 4; got conv_first {tuple(first.shape)}")
    blocks = {int(match[1]) for match in (re.match(r"body\.(\d{1,4})\.", name) for name in weights) if match}
    sizes = {"num_feat": len(first), "num_grow_ch": len(growth), "num_block": len(blocks)}
    small = max(len(first), len(growth)) <= MOST_FEATURES and len(blocks) <= MOST_BLOCKS
    require(small, f"it must have up to {MOST_FEATURES} features and {MOST_BLOCKS} blocks; got {sizes}")
    with torch.device("meta"):  # the checkpoint's tensors take the place of all that would be drawn
        network = rrdbnet(3, 3, scale=SCALES[first.shape[1]], **sizes)
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _rrdbnet() -> Any:
    import kornia

    try:
        from kornia.models.rrdbnet import RRDBNet
    except ImportError as error:
        version = kornia.__version__
        raise RuntimeError(f"an upscaler must have kornia 0.9 or newer, which has RRDBNet; got {version}") from error
    return RRDBNet


def is_small(crop: Crop, side: int) -> bool:
    """Return whether a face has so few pixels that an upscaler is to enlarge it for a view of `side` pixels."""
    return crop.side_px < SMALL * side


@torch.no_grad()
def enlarge(photo: Photo, crop: Crop, side: int, upscaler: Upscaler) -> Tensor:
    """Sample a crop at the photo's own resolution, and enlarge it by a network.

    Args:
        photo: that it is of.
        crop: a small one; see `is_small`.
        side: S, pixels along the crop.
        upscaler: the network.

    Returns:
        (1, 3, S, S) float32 in [0, 1], on the CPU; gray where the crop is.

    Raises:
        ValueError: the network gives something that is no picture.
    """
    own = max(LEAST_PX, CELL_PX * math.ceil(crop.side_px / CELL_PX))
    pixels = extract(photo, crop, own)
    device = next(upscaler.network.parameters()).device
    large = upscaler.network(pixels.to(device)).float().cpu()
    good = tuple(large.shape) == (1, 3, upscaler.scale * own, upscaler.scale * own) and bool(large.isfinite().all())
    require(good, f"upscaler must give a finite picture {upscaler.scale} times as large; got another: {upscaler.name}")
    if is_gray(pixels):
        large = large.mean(1, keepdim=True).expand_as(large)
    return F.interpolate(large.clamp(0, 1), (side, side), mode="bilinear", antialias=True, align_corners=False)
