"""Photos in and out: the one way from a file, a picture or an array to pixels, and the one way back to a file."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import as_number, describe, require
from flowedit.photo import codec
from flowedit.photo.files import open_input, same_file, write_atomically
from flowedit.photo.metadata import Metadata, note_text
from flowedit.photo.raster import Drawing, Raster, Rows, strips

if TYPE_CHECKING:
    import PIL.Image


Source: TypeAlias = "str | Path | PIL.Image.Image | np.ndarray | Tensor | Photo"
_SCALE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}
_ROUNDING = 1e-6  # how far outside [0, 1] a float picture may lie, as float32 resampling leaves it


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as it came, upright, and what its file says about it.

    Attributes:
        pixels: (H, W, 3) RGB; uint8, uint16, or float32 in [0, 1].
        alpha: (H, W) of the same dtype, or None.
        path: the absolute path it was read from, or None.
        format: "PNG", "JPEG", ... as read, or None.
        metadata: color profile, EXIF, rights and resolution.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    path: Path | None = None
    format: str | None = None
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return self.pixels.shape[1]

    @cached_property
    def sha256(self) -> str:
        """Hex digest of dtype, shape and color pixels: the same picture has the same digest in any lossless file."""
        digest = hashlib.sha256(f"{self.pixels.dtype.name} {self.pixels.shape}".encode())
        for rows in strips(self.height):
            digest.update(np.ascontiguousarray(self.pixels[rows], self.pixels.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def tensor(self, box: tuple[int, int, int, int] | None = None) -> Tensor:
        """Return the pixels as a new (1, 3, h, w) float32 tensor in [0, 1].

        Args:
            box: (top, left, bottom, right) in pixels, bottom and right exclusive; None is the whole photo.
        """
        top, left, bottom, right = (0, 0, self.height, self.width) if box is None else box
        require(
            0 <= top < bottom <= self.height and 0 <= left < right <= self.width,
            f"box (top, left, bottom, right) must lie in the {self.height} x {self.width} photo; got {box}",
        )
        return image_to_tensor(self.pixels[top:bottom, left:right])

    def opacity(self, box: tuple[int, int, int, int]) -> Tensor | None:
        """Return alpha in a box, see `tensor`, as a new (1, h, w) tensor in [0, 1]; None where all is opaque."""
        top, left, bottom, right = box
        if self.alpha is None or self.alpha[top:bottom, left:right].min() == _SCALE[self.alpha.dtype]:
            return None
        return image_to_tensor(self.alpha[top:bottom, left:right, None])[0]

    def over_white(self) -> Photo:
        """Return the photo as it looks on a white page: without alpha. One without alpha is returned as it is."""
        if self.alpha is None:
            return self
        white = np.float32(_SCALE[self.pixels.dtype])
        pixels = np.empty_like(self.pixels)
        for rows in strips(self.height):
            opacity = self.alpha[rows, :, None] / white
            part = self.pixels[rows] * opacity + white * (1 - opacity)
            pixels[rows] = part if self.pixels.dtype == np.float32 else np.rint(part)
        return replace(self, pixels=pixels, alpha=None)


def image_to_tensor(pixels: np.ndarray) -> Tensor:
    """Return (h, w, C) uint8, uint16 or float32 pixels as a new (1, C, h, w) float32 tensor in [0, 1]."""
    planes = torch.empty(1, pixels.shape[2], *pixels.shape[:2], dtype=torch.float32, device="cpu")
    whole = np.float32(1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max)
    for channel, plane in enumerate(planes[0].numpy()):  # divided as float32, without a float copy
        np.divide(pixels[..., channel], whole, out=plane, dtype=np.float32, casting="unsafe")
    return planes


def load(source: Source) -> Photo:
    """Read a photo from a path, a Pillow image, an array or a tensor; a Photo is returned as it is.

    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, or floating in [0, 1]. Tensors are
    (3, H, W) or (1, 3, H, W): uint8 or floating in [0, 1]. Both are copied. A file gives its first frame,
    with its EXIF orientation applied; gray, palette, CMYK and 1-bit become RGB, 16-bit gray and RGB PNG and
    TIFF stay 16-bit. Byte order and layout in memory do not matter.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError, OSError: the path cannot be read.
        ValueError: it is not an image, is damaged or too large, or an array has a wrong shape or range.
        TypeError: the source, or an array's dtype, is of another kind.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, (str, os.PathLike)):
        return _from_path(Path(source))
    if isinstance(source, Tensor):
        return Photo(*_from_array(_from_tensor(source)))
    if isinstance(source, np.ndarray):
        masked = np.ma.is_masked(source)
        require(not masked, "image must have a number for each pixel; got a masked array with some masked")
        return Photo(*_from_array(source))
    from PIL import Image

    if isinstance(source, Image.Image):
        try:
            raster = codec.from_pil(source)
        except ValueError as error:
            raise ValueError(f"cannot use the Pillow image: {error}") from error
        name = getattr(source, "filename", "")
        path = Path(os.fsdecode(name)).absolute() if isinstance(name, (str, bytes)) and name else None
        return Photo(raster.pixels, raster.alpha, path, raster.format, raster.metadata)
    raise TypeError(f"image must be a path, a Pillow image, an array or a tensor; got {describe(source)}")


def quantize(image: Tensor, dtype: np.dtype | type) -> np.ndarray:
    """Return a (1, 3, H, W) or (3, H, W) image in [0, 1] as (H, W, 3) pixels, clamped and rounded to uint8 or uint16.

    Four planes, with alpha, become (H, W, 4). The exact inverse of `Photo.tensor`; float32 is clamped only.
    """
    dtype = np.dtype(dtype)
    require(dtype in _SCALE, f"dtype must be uint8, uint16 or float32; got {dtype}", TypeError)
    require(isinstance(image, Tensor), f"image must be a tensor; got {describe(image)}", TypeError)
    _check_dense(image)
    shape = tuple(image.shape)
    good = image.ndim in (3, 4) and shape[-3] in (3, 4) and shape[:-3] in ((), (1,))
    require(good, f"image must have shape (1, 3, H, W), one photo at a time; got {shape}")
    require(image.is_floating_point(), f"image must be floating point in [0, 1]; got {image.dtype}", TypeError)
    planes = image.detach().reshape(shape[-3:])
    out = np.empty((*shape[-2:], shape[-3]), dtype)
    for rows in strips(len(out)):
        strip = planes[:, rows].float().cpu()
        ends = torch.stack(torch.aminmax(strip)) if strip.numel() else strip.new_zeros(2)  # NaN where there is one
        require(bool(torch.isfinite(ends).all()), "image must be finite; got NaN or infinity")
        if dtype == np.float32:
            out[rows] = np.clip(strip.permute(1, 2, 0).numpy(), 0, 1)
            continue
        levels = strip.clamp(0, 1).mul_(_SCALE[dtype]).round_().numpy()
        for channel, plane in enumerate(levels):  # one after the other: a third of the time of all at once
            np.copyto(out[rows, :, channel], plane, casting="unsafe")
    return out


def save(
    path: str | Path,
    image: Tensor | Callable[[np.dtype], Rows],
    *,
    photo: Photo | None = None,
    metadata: Metadata | None = None,
    overwrite: bool = False,
    note: dict | None = None,
    quality: int = 95,
    strip_location: bool = False,
) -> Path:
    """Write an image as PNG, JPEG, WebP or TIFF (by the extension), whole or not at all, and return the path.

    Alpha, metadata and bit depth come from `photo` where the format can hold them: PNG and TIFF keep 16 bits, JPEG and
    WebP have 8. JPEG has no alpha: the colors are kept as they are, transparency is dropped with a warning. A float
    photo is written in 8 bits.

    Args:
        path: output; an existing file is replaced, unless it is the photo's own file and `overwrite` is False.
        image: (1, 3, H, W) or (3, H, W), clamped to [0, 1]; or a function that returns the rows, with alpha or
            without, of the dtype it is called with, uint8 or uint16. Of the photo's size where one is given.
        photo: the photo that the image is an edit of.
        metadata: goes into the file instead of the photo's.
        overwrite: allow replacing the photo's own file.
        note: provenance, written as JSON into the file's metadata, see `read_note`.
        quality: 1 to 100, JPEG and WebP only.
        strip_location: leave out where the photo was taken, and serial numbers of camera and lens.

    Raises:
        FileExistsError: the output is the photo's own file.
        ValueError: unknown extension, wrong size, a side too long for the format, a note that is no JSON.
        OSError: the file cannot be written; an existing one stays as it was.
    """
    path = Path(path)
    format = codec.FORMATS.get(path.suffix.lower(), "")
    require(bool(format), f"output must end in one of {', '.join(codec.FORMATS)}; got {str(path)!r}")
    require(not isinstance(image, Tensor) or image.ndim < 3 or image.shape[-3] == 3,
            f"image must have shape (1, 3, H, W); got {tuple(getattr(image, 'shape', ()))}")  # fmt: skip
    quality = _check_quality(quality)
    require(note is None or isinstance(note, dict), f"note must be a dict; got {describe(note)}", TypeError)
    if note is not None:
        note_text(note)  # raises before any work
    same = photo is not None and photo.path is not None and same_file(path, photo.path)
    require(overwrite or not same, f"output must not be the photo itself unless overwrite is set; got {path}",
            FileExistsError)  # fmt: skip
    deep = photo is not None and photo.pixels.dtype == np.uint16 and format in ("PNG", "TIFF")
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    drawn = image(dtype) if callable(image) else quantize(image, dtype)
    height, width, channels = drawn.shape
    limit = codec.MAX_SIDE_PX[format]
    require(max(height, width) <= limit, f"a {format} side must be at most {limit} pixels; got {width} x {height}")
    if photo is not None:
        require(
            (height, width) == (photo.height, photo.width),
            f"image must have the photo's size {photo.height} x {photo.width}; got {height} x {width}",
        )
        metadata = metadata or photo.metadata
    metadata = metadata or Metadata()
    if strip_location:
        metadata = metadata.without_location()
    if format != "PNG" and metadata.png_color_matters:
        warnings.warn(f"{path} loses what the photo's gAMA, cHRM or cICP say of its colors; use PNG", stacklevel=2)
    complete = channels == 4 or photo is None or photo.alpha is None
    if isinstance(drawn, Rows) and complete and (format == "PNG" or deep):  # the others are encoded in one piece
        drawing = Drawing(drawn, format, metadata)
        return write_atomically(path, lambda file: codec.encode(file, drawing, note, quality))
    pixels = drawn.whole() if isinstance(drawn, Rows) else drawn
    alpha = pixels[..., 3] if channels == 4 else None
    if photo is not None and photo.alpha is not None and alpha is None:
        alpha = rescale(photo.alpha, dtype)
    if alpha is not None and format == "JPEG":
        if alpha.min() < _SCALE[dtype]:
            warnings.warn(f"JPEG holds no transparency: {path} keeps the colors only; use PNG", stacklevel=2)
        alpha = None
    raster = Raster(pixels[..., :3], alpha, format, metadata)
    return write_atomically(path, lambda file: codec.encode(file, raster, note, quality))


def to_pil(pixels: np.ndarray, metadata: Metadata, note: dict[str, Any]) -> PIL.Image.Image:
    """Make a Pillow image of (H, W, 3 or 4) uint8 pixels; its `info` has what `save` would write beside them."""
    from PIL import Image

    image = Image.fromarray(pixels)
    facts = {"icc_profile": metadata.icc, "exif": metadata.exif, "dpi": metadata.dpi, "xmp": metadata.xmp(note)}
    image.info.update({name: value for name, value in facts.items() if value})
    return image


def read_note(path: str | Path) -> dict | None:
    """Return the provenance that `save` wrote into an image file, or None if it has none; errors as in `load`."""
    with open_input(path) as file:
        try:
            return codec.decode_note(file)
        except ValueError as error:
            raise ValueError(f"cannot read {path} as an image: {error}") from error


def read_sides(path: str | Path) -> tuple[int, int]:
    """Return the shorter and the longer side of an image file, pixels, without decoding it; errors as in `load`."""
    with open_input(path) as file:
        try:
            return codec.decode_size(file)
        except ValueError as error:
            raise ValueError(f"cannot read {path} as an image: {error}") from error


def rescale(alpha: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """Return alpha (H, W) in another depth."""
    dtype = np.dtype(dtype)
    if alpha.dtype == dtype:
        return alpha
    out = np.empty(alpha.shape, dtype)
    for rows in strips(len(alpha)):
        out[rows] = np.rint(alpha[rows] / np.float64(_SCALE[alpha.dtype]) * _SCALE[dtype])
    return out


def _check_quality(quality: object) -> int:
    """Return a whole number from 1 to 100, of any kind of number."""
    value = as_number(quality)
    good = value is not None and 1 <= value <= 100 and value == int(value)
    require(good, f"quality must be a whole number from 1 to 100; got {describe(quality)}")
    return int(value)  # type: ignore[arg-type]


def _from_path(path: Path) -> Photo:
    with open_input(path) as file:
        try:
            raster = codec.decode(file)
        except ValueError as error:
            raise ValueError(f"cannot read {path} as an image: {error}") from error
    return Photo(raster.pixels, raster.alpha, path.absolute(), raster.format, raster.metadata)


def _check_dense(image: Tensor) -> None:
    """Refuse a tensor that holds no number for each pixel."""
    require(not image.is_meta, "image must hold numbers; got a meta tensor, which has none")
    dense = image.layout == torch.strided and not image.is_nested
    require(dense, f"image must be a dense tensor; got a {'nested' if image.is_nested else image.layout} one")


def _from_tensor(image: Tensor) -> np.ndarray:
    """Turn a (3, H, W) or (1, 3, H, W) tensor into an (H, W, 3) array."""
    _check_dense(image)
    shape = tuple(image.shape)
    good = len(shape) in (3, 4) and shape[-3] == 3 and shape[:-3] in ((), (1,))
    require(good, f"image must have shape (3, H, W) or (1, 3, H, W), one photo at a time; got {shape}")
    floating = image.is_floating_point()
    require(floating or image.dtype == torch.uint8,
            f"image must be uint8 or floating point in [0, 1]; got {image.dtype}", TypeError)  # fmt: skip
    image = image.detach().cpu().reshape(shape[-3:]).permute(1, 2, 0)
    return (image.float() if floating else image).numpy()


def _from_array(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Check an array and split it into fresh color (H, W, 3) and alpha (H, W) or None."""
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    require(good, f"image must have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); got {array.shape}")
    require(array.size > 0, f"image must have at least one pixel; got shape {array.shape}")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())  # NaN makes both NaN
        require(
            low >= -_ROUNDING and high <= 1 + _ROUNDING,
            f"a float image must lie in [0, 1]; got {low:.6g} to {high:.6g}",
        )
        dtype = np.dtype(np.float32)
    else:
        dtype = array.dtype.newbyteorder("=")
        require(dtype in _SCALE, f"image must be uint8, uint16 or floating in [0, 1]; got {array.dtype}", TypeError)
    array = array[..., None] if array.ndim == 2 else array
    color = np.empty((*array.shape[:2], 3), dtype)
    color[:] = array[..., :3]  # gray fills all three
    alpha = array[..., 3].astype(dtype) if array.shape[2] == 4 else None
    if dtype == np.float32:
        for part in (color, alpha):
            if part is not None:
                np.clip(part, 0, 1, out=part)
    return color, alpha
