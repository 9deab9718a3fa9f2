"""The One Euro filter (Casiez, Roussel, Vogel 2012): smooth at rest, quick in motion."""

from __future__ import annotations

import math

import numpy as np

from flowedit.checks import require

SPEED_HZ = 1.0  # cutoff of the speed's own filter, the paper's


class OneEuro:
    """Filters vectors that come at any times, by an exponential mean whose cutoff rises with their speed.

    cutoff = least + slope * speed; the speed of a vector is its length's, so a filter is the same in every direction.
    The first few values are averaged, each with the same weight, or the first alone would be kept for a second at rest.

    Args:
        least: cutoff at rest, Hz: the lower, the less jitter.
        slope: Hz per unit a second: the higher, the less lag. With the eye distance as the unit it is the same for
            every size of face.
        speed_cutoff: of the speed's own filter, Hz.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, least: float, slope: float, speed_cutoff: float = SPEED_HZ) -> None:
        numbers = {"least": least, "slope": slope, "speed_cutoff": speed_cutoff}
        for name, value in numbers.items():
            require(math.isfinite(value) and value >= 0, f"{name} must be finite and at least 0; got {value!r}")
        self.least, self.slope, self.speed_cutoff = least, slope, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Forget all: the next value is taken as it is, so a face found anew does not glide from where one was lost."""
        self.time, self.count = -math.inf, 0
        self.value: np.ndarray | None = None
        self.last: np.ndarray | None = None
        self.velocity: np.ndarray | None = None

    def __call__(self, value: np.ndarray, time: float, unit: float = 1.0) -> np.ndarray:
        """Filter the next value.

        Args:
            value: (..., d), always of one shape.
            time: seconds; a time that is not after the last one changes nothing.
            unit: what speed is counted in, in the values' own units.

        Returns:
            The filtered value, of the same shape.
        """
        value = np.asarray(value, np.float64)
        if self.value is None or self.last is None or self.velocity is None:
            self.value, self.last, self.velocity, self.time = value, value, np.zeros_like(value), time
            self.count = 1
            return value
        seconds = time - self.time
        if seconds <= 0:
            return self.value
        rate = _share(self.speed_cutoff, seconds)
        self.velocity = self.velocity + rate * ((value - self.last) / seconds - self.velocity)
        speed = np.linalg.norm(self.velocity, axis=-1, keepdims=True) / unit
        self.count += 1
        share = np.maximum(_share(self.least + self.slope * speed, seconds), 1 / self.count)
        self.value = self.value + share * (value - self.value)
        self.last, self.time = value, time
        return self.value


def _share(cutoff: float | np.ndarray, seconds: float) -> float | np.ndarray:
    """Return how much of the way to a new value an exponential mean goes, (0, 1): the paper's alpha."""
    turn = 2 * math.pi * cutoff * seconds
    return turn / (1 + turn)
