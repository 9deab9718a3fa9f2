"""What somebody might give as a picture."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import flowedit
from benchmarks.attack.outcome import PROMPT, SMALL, Fault, check_refusal

DTYPES = ("u1", "<u2", ">u2", "<f4", ">f4", "<f8", ">f8", "f2", "g", "i1", "<i4", "<u4", "<i8", "?", "c8", "O", "U4",
          "M8[s]")  # fmt: skip
TORCH_DTYPES = ("float32", "float64", "float16", "bfloat16", "uint8", "int32", "bool", "complex64")
MODES = ("RGBA", "RGB", "L", "LA", "1", "P", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "RGBa")


def picture(rng: random.Random) -> Any:
    """Return what somebody might give as `image`: an array, a tensor, a Pillow image, or nothing of the kind."""
    noise = np.random.default_rng(rng.getrandbits(32))
    shape = rng.choice(((9, 7, 3), (9, 7, 4), (9, 7), (9, 7, 1), (1, 1, 3), (1, 1, 4), (1, 300, 3), (3, 9, 7),
                        (1, 3, 9, 7), (2, 3, 9, 7), (0, 7, 3), (9, 0, 3), (9, 7, 0), (9, 7, 2), (9, 7, 5), (), (5,),
                        (3, 1, 1), (1, 3, 1, 1), (40, 48, 3), (3, 40, 48)))  # fmt: skip
    values = noise.random(shape)
    if rng.random() < 0.2 and values.size:
        values.flat[0] = rng.choice((math.nan, math.inf, -math.inf, -1e-7, 1 + 1e-7, -0.1, 1.5, 255.0, -0.0, 1e-310))
    kind = rng.randrange(4)
    with np.errstate(all="ignore"):
        if kind == 0:
            return _pillow(rng, np.nan_to_num(values))
        if kind == 1:
            return _tensor(rng, torch.from_numpy(values.copy()))
        if kind == 2 and rng.random() < 0.2:
            return rng.choice((None, 3, b"", [[0]], "", ".", "no/such.png", Path("/dev/null"), "\0", object()))
        return _array(rng, values)


def _array(rng: random.Random, values: np.ndarray) -> np.ndarray:
    dtype = np.dtype(rng.choice(DTYPES))
    top = {"u": np.iinfo(dtype).max if dtype.kind == "u" else 0, "i": 100, "M": 100}.get(dtype.kind, 1)
    array = (np.nan_to_num(values).clip(0, 1) * top if top > 1 else values).astype(dtype)
    if array.ndim < 2 or not array.size:
        return array
    views: tuple[Callable[[], np.ndarray], ...] = (
        lambda: array, lambda: array[::-1], lambda: array[:, ::-1], lambda: array.swapaxes(0, 1), lambda: array[::2],
        lambda: np.asfortranarray(array), lambda: np.broadcast_to(array[:1], array.shape), lambda: array[..., ::-1],
        lambda: np.ma.masked_array(array, array == array), lambda: array.view(np.recarray),
    )  # fmt: skip
    array = rng.choice(views)()
    if rng.random() < 0.3 and isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


def _tensor(rng: random.Random, values: torch.Tensor) -> torch.Tensor:
    dtype = getattr(torch, rng.choice(TORCH_DTYPES))
    tensor = (values.nan_to_num() * 255 if dtype == torch.uint8 else values).to(dtype)
    views: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: tensor, lambda: tensor, lambda: tensor.transpose(-1, -2) if tensor.ndim > 1 else tensor,
        lambda: tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor, lambda: tensor.to("meta"),
        lambda: tensor.to_sparse() if tensor.ndim else tensor, lambda: tensor[..., ::2] if tensor.ndim else tensor,
        lambda: tensor[:1].expand(3, *tensor.shape[1:]) if tensor.ndim and len(tensor) else tensor,
        lambda: torch.nn.Parameter(tensor, requires_grad=False),
    )  # fmt: skip
    return rng.choice(views)()


def _pillow(rng: random.Random, values: np.ndarray) -> Image.Image:
    size = (values.shape[1], values.shape[0]) if values.ndim > 1 and min(values.shape[:2]) > 0 else (5, 3)
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (size[1], size[0], 4), np.uint8)
    noise[..., 3] = np.where(noise[..., 3] < 128, 0, noise[..., 3])  # colors hidden where alpha is 0
    image = Image.fromarray(noise)
    mode = rng.choice(MODES)
    if mode in ("I;16", "I", "F", "LAB", "HSV", "1", "P", "CMYK", "YCbCr"):
        image = image.convert("L") if mode in ("I;16", "I", "F") else image.convert("RGB")
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else (
            Image.new("LAB", size, (1, 2, 3)) if mode == "LAB" else image.convert(mode))  # fmt: skip
        if mode == "P":
            image.info["transparency"] = rng.choice((0, 300, b"\0\1", "x"))
    else:
        image = image.convert(mode)
    return image


def attempt_arrays(rng: random.Random, folder: Path, genuine: Path, told: list[str]) -> str:
    image = picture(rng)
    told.append(describe(image))
    before = contents(image)
    try:
        config = flowedit.Config.from_dict({**SMALL, "align": False, "steps": 1})
        edit = flowedit.optimize(image, PROMPT, config=config)
        whole = edit.render()
        edit.save(folder / "out.png", strength=0.0)
    except Exception as error:
        return check_refusal(error, "image", "Pillow", str(image)[:30] or "cannot read", repr(image)[1:-1])
    if contents(image) != before:
        raise Fault("lost", "the caller's picture was changed")
    if not (bool(torch.isfinite(whole).all()) and whole.min() >= 0 and whole.max() <= 1):
        raise Fault("wrong", "it is rendered beyond [0, 1]")
    if isinstance(image, (np.ndarray, Image.Image)) and (pixels := np.asarray(image)).dtype == np.uint8:
        color = pixels.shape[2:] in ((3,), (4,)) and getattr(image, "mode", "RGB") in ("RGB", "RGBA")
        saved = np.asarray(Image.open(folder / "out.png").convert("RGBA"))
        if color and not np.array_equal(saved[..., : pixels.shape[2]], pixels):
            raise Fault("wrong", "strength 0 does not save the picture, hidden colors too, to the bit")
    return "worked"


def contents(image: Any) -> Any:
    """Return the bytes of a picture, to be compared; None where it has none."""
    if isinstance(image, np.ndarray):
        return (image.dtype, image.shape, image.strides, str(image) if image.dtype == object else image.tobytes())
    if isinstance(image, Image.Image):
        return (image.mode, image.size, image.tobytes())
    return None


def describe(image: Any) -> str:
    names = ("shape", "dtype", "strides", "mode", "size", "layout", "device")
    facts = {name: getattr(image, name) for name in names if not callable(getattr(image, name, len))}
    return f"{type(image).__name__} {facts or repr(image)}"
