"""Which backend runs an operation: the only place that decides."""

from __future__ import annotations


def available() -> tuple[str, ...]:
    """Name the backends usable here, best first."""
    return ("torch",)


def choose(name: str | None = None) -> str:
    """Return the backend to use: the one named, or the best one here.

    Raises:
        RuntimeError: a backend was named that is not usable here; it is never swapped for another in silence.
    """
    if name is None:
        return available()[0]
    if name not in available():
        raise RuntimeError(f"backend must be one of {sorted(available())} here; got {name!r}")
    return name
