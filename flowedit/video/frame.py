"""One frame of a clip: its RGB, upright, and the way an edited part goes back into what the file holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from flowedit.video.frames import Box
from flowedit.video.planes import Colors, Layout, add_difference


class Patch(NamedTuple):
    """Pixels to be put into a frame: `pixels` (h, w, 3), of its dtype, at `box` (top, left, bottom, right)."""

    box: Box
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class PlanarFrame:
    """A frame of a video as it was decoded, turned upright.

    Attributes:
        time: seconds from the clip's start.
        duration: seconds that it is shown; 0 where that is not known.
        planes: of the whole frame; not to be written to, for the decoder may read them again.
        layout: theirs.
        colors: likewise.
        stamp: the time stamp, in units of the stream's time base.
        read: converts the decoded frame to RGB, when that is first asked for.
    """

    time: float
    duration: float
    planes: Sequence[np.ndarray]
    layout: Layout
    colors: Colors
    stamp: int
    read: Callable[[], np.ndarray] = field(repr=False)

    @cached_property
    def rgb(self) -> np.ndarray:
        """(H, W, 3) RGB: uint8, or uint16 where a sample has more than 8 bits."""
        return self.read()

    def edited(self, patches: Sequence[Patch]) -> PlanarFrame:
        """Return the frame with these parts, which do not overlap, in place; elsewhere every sample keeps its bits."""
        if not patches:
            return self
        planes = [plane.copy() for plane in self.planes]
        for patch in patches:
            top, left, bottom, right = patch.box
            before = self.rgb[top:bottom, left:right]
            add_difference(planes, self.layout, self.colors, (top, left), before, patch.pixels)
        return replace(self, planes=planes, read=lambda: paste(self.rgb, patches))


@dataclass(frozen=True, eq=False)
class RasterFrame:
    """A frame of an animation.

    Attributes:
        time: seconds from the start.
        duration: seconds that it is shown.
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8, or None where all is opaque.
    """

    time: float
    duration: float
    rgb: np.ndarray
    alpha: np.ndarray | None = None

    def edited(self, patches: Sequence[Patch]) -> RasterFrame:
        """Return the frame with these parts in place."""
        return replace(self, rgb=paste(self.rgb, patches)) if patches else self


def paste(rgb: np.ndarray, patches: Sequence[Patch]) -> np.ndarray:
    """Return a copy of (H, W, 3) pixels with patches in place."""
    rgb = rgb.copy()
    for patch in patches:
        top, left, bottom, right = patch.box
        rgb[top:bottom, left:right] = patch.pixels
    return rgb


Frame = PlanarFrame | RasterFrame
