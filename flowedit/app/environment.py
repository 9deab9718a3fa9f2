"""What this installation is and has, for a bug report."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from flowedit._version import __version__
from flowedit.kernels import dispatch

PACKAGES = ("torch", "numpy", "open_clip_torch", "dlib-bin", "face-recognition-models")


def describe_environment() -> dict[str, Any]:
    """Collect what a bug report needs."""
    versions: dict[str, str] = {"flowedit": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    devices = {"cpu": f"{torch.get_num_threads()} threads, {platform.machine()}, {platform.system()}"}
    devices |= {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    weights = Path(__file__).parent.parent / "weights"
    shipped = ", ".join(sorted(p.parent.name for p in weights.glob("*/card.json"))) or "none"
    return {
        "versions": versions,
        "devices": devices,
        "backends": {name: dispatch.problem(name) or "usable" for name in ("native", "triton", "tinycudann")},
        "encoders": {
            "shipped": shipped,
            "others": "open_clip's MODEL:PRETRAINED or MODEL:PATH",
        },
    }
