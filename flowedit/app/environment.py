"""What this installation is and has: for a bug report, and for a benchmark's figures."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from flowedit._version import __version__
from flowedit.guide.encoder import FORMS, ROBUST
from flowedit.kernels import dispatch

PACKAGES = (
    "torch", "numpy", "open_clip_torch", "timm", "kornia", "imageio", "av", "dlib-bin", "face-recognition-models",
    "pillow", "tifffile", "safetensors",
)  # fmt: skip


def describe_environment() -> dict[str, Any]:
    """Return the versions, the machine, the kernel backends and the shipped encoders; JSON-able."""
    shipped = sorted(path.parent.name for path in (Path(__file__).parent.parent / "weights").glob("*/card.json"))
    return {
        "versions": {
            "flowedit": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load_at_start": round(os.getloadavg()[0], 2),  # of a benchmark: above 0, seconds are an upper bound
            "gpu": _gpu(),
        },
        "backends": {name: dispatch.problem(name) or "usable" for name in ("native", "triton", "tinycudann")},
        "encoders": {"shipped": ", ".join(shipped), "robust": ", ".join(ROBUST), "others": FORMS},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.is_file() else None
    return model[1] if model else platform.processor() or platform.machine()


def _gpu() -> str | None:
    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "Apple GPU" if torch.backends.mps.is_available() else None
