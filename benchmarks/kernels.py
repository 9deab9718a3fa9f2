"""Time every operation of flowedit.kernels against what else would do it; an operation whose test fails is not told."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.common import ROOT, PeakMemory, environment, tell_peak, time_calls, write_report
from flowedit.face.crop import Crop
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField
from flowedit.kernels import Interpolation, LatticeEncoding, available, fused_step, hash_encode, sample, warp_pixels
from flowedit.kernels.hash_encode import reference as naive
from flowedit.photo.photo import Photo
from flowedit.transform.render import render
from flowedit.transform.transforms import FieldTransform

GRID = {"n_levels": 16, "table_size": 2**15, "base_resolution": 16, "per_level_scale": 1.38}
TESTS = {
    "sample": ("tests/test_sample.py", "sampl or cubic"),
    "hash_encode": ("tests/test_hash_encode.py", "not lattice"),
    "lattice": ("tests/test_hash_encode.py", "lattice"),
    "fused_step": ("tests/test_step.py", ""),
    "render": ("tests/test_render.py", ""),
    "warp_pixels": ("tests/test_warp_pixels.py", ""),
}
CPU_ONLY = ("render", "warp_pixels")
Case = tuple[str, str, Callable[[], object]]  # size, method, what is timed
Cases = Callable[[str], Iterator[Case]]  # by device


def passes(operation: str) -> bool:
    """Run the operation's tests."""
    file, words = TESTS[operation]
    command = [sys.executable, "-m", "pytest", "-q", "-x", file, *(["-k", words] if words else [])]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0


def there_and_back(forward: Callable[..., Tensor], *leaves: Tensor) -> Callable[[], object]:
    """A forward pass, and the gradients of its leaves under a fixed cotangent."""
    leaves = tuple(leaf.detach().requires_grad_() for leaf in leaves)
    cotangent = torch.randn_like(forward(*leaves))
    return lambda: torch.autograd.grad(forward(*leaves), leaves, cotangent)


def sample_cases(device: str) -> Iterator[Case]:
    """Points near the pixels of a picture, as rendering reads it: cubic, three planes, no gradient."""
    for side in (256, 1024):
        picture = torch.rand(3, side, side, device=device)
        offsets = 4 * torch.randn(2, side * side, device=device)
        index = torch.arange(side * side, device=device)
        origin = index % side, index // side
        for backend in available(device, "sample"):
            name = "plain torch" if backend == "torch" else backend
            yield f"{side}²", name, partial(sample, picture, *offsets, Interpolation.CATMULL_ROM, origin, backend)
        points = torch.stack(
            [2 * (axis + offset + 0.5) / side - 1 for axis, offset in zip(origin, offsets, strict=True)], -1
        )
        read = partial(F.grid_sample, picture[None], points[None, None], padding_mode="border", align_corners=False)
        yield f"{side}²", "grid_sample bicubic", partial(read, mode="bicubic")


def hash_cases(device: str) -> Iterator[Case]:
    """Any points, each level of 2 features; the naive way is the plain-torch reference."""
    for side in (224, 512):
        points = torch.rand(side * side, 2, device=device)
        table = torch.randn(GRID["n_levels"], GRID["table_size"], 2, device=device)
        for backend in available(device, "hash_encode"):
            name = "naive torch" if backend == "torch" else backend
            call = partial(
                hash_encode, points, base_resolution=GRID["base_resolution"], per_level_scale=GRID["per_level_scale"],
                backend=backend,
            )  # fmt: skip
            yield f"{side}²", name, there_and_back(lambda t, c=call: c(table=t), table)


def lattice_cases(device: str) -> Iterator[Case]:
    """Points on a grid that do not change: as the loop evaluates a `HashField`, and finer."""
    field = HashField()
    loop = {
        "n_levels": field.n_levels, "table_size": field.table.shape[1], "base_resolution": field.base_resolution,
        "per_level_scale": field.per_level_scale,
    }  # fmt: skip
    for side, grid in ((LATTICE, loop), (224, GRID)):
        line = ((torch.arange(side, device=device, dtype=torch.float64) + 0.5) / side) * 0.97
        points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2).float()
        table = torch.randn(grid["n_levels"], grid["table_size"], 2, device=device)
        size = f"{side}², {grid['n_levels']} levels"
        for backend in available(device, "lattice"):
            name = "constant CSR matrix" if backend == "torch" else f"any points, {backend}"
            yield size, name, there_and_back(LatticeEncoding(line, line, *grid.values(), backend=backend), table)
        call = partial(naive.hash_encode, points, base_resolution=grid["base_resolution"])
        yield (
            size,
            "naive torch",
            there_and_back(lambda t, c=call, g=grid: c(t, per_level_scale=g["per_level_scale"]), table),
        )


LATTICE, PARTS = 64, 5  # what a field is evaluated on in the loop


def face(device: str) -> dict[str, Tensor]:
    """A moved and tinted face as the loop has it, and one view of 128 pixels of its crop of 256."""
    n = LATTICE
    shapes = {
        "image": (1, 3, 256, 256), "weight": (1, 1, n, n), "paints": (PARTS, 3, 3), "masks": (PARTS, n, n),
        "price": (2, n, n), "even_x": (1, 1, n, n - 1), "even_y": (1, 1, n - 1, n),
    }  # fmt: skip
    moved = {"coord": 0.02 * torch.randn(1, 2, n, n), "color": 0.1 * torch.randn(1, 3, n, n)}
    moved["palette"] = 0.1 * torch.randn(PARTS, 3)
    views = {"theta": torch.eye(2, 3)[None], "gain": torch.ones(1)}
    given = {**moved, **{name: torch.rand(shape) for name, shape in shapes.items()}, **views}
    return {name: value.to(device) for name, value in given.items()}


def step_cases(device: str) -> Iterator[Case]:
    """The loop's step on that face, and the gradients of all that it returns."""
    inputs = face(device)
    leaves = [inputs.pop(name) for name in ("coord", "color", "palette")]

    def forward(*values: Tensor, backend: str) -> Tensor:
        named = dict(zip(("coord", "color", "palette"), values, strict=True))
        step = fused_step(**named, **inputs, limit=0.15, size=128, backend=backend)
        return torch.cat([x.flatten() for x in step])

    for backend in available(device, "fused_step"):
        name = "plain torch" if backend == "torch" else backend
        yield f"{LATTICE}²", name, there_and_back(partial(forward, backend=backend), *leaves)


def render_cases(device: str) -> Iterator[Case]:
    """A photo of 24 megapixels, 8 bits, with a face of 1500 px; reading the photo as floating numbers included."""
    pixels = torch.randint(256, (4000, 6000, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    photo = Photo(pixels.numpy())
    matrix = torch.tensor([[750.0, 0, 3000], [0, 750, 2000]], dtype=torch.float64)
    for field in (RasterField(), HashField()):
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
        name = "raster" if isinstance(field, RasterField) else "hash"
        yield "24 MP", f"render, {name}", partial(render, photo, [FieldTransform(field, Crop(matrix, None))])

    def whole(mode: str) -> Tensor:
        grid = F.affine_grid(torch.eye(2, 3)[None], [1, 3, 4000, 6000], align_corners=False)
        return F.grid_sample(photo.tensor(), grid, mode=mode, padding_mode="border", align_corners=False)

    yield "24 MP", "whole photo, grid_sample bicubic", partial(whole, "bicubic")
    yield "24 MP", "whole photo, grid_sample bilinear", partial(whole, "bilinear")


def warp_pixels_cases(device: str) -> Iterator[Case]:
    """The square around a face of 300 px in a frame of 720 lines, whole numbers in and out."""
    side, step = 480, 4
    frame = torch.randint(0, 256, (720, 1280, 3), dtype=torch.uint8, device=device)
    lattice = F.interpolate(torch.randn(1, 5, 16, 16, device=device), (side // step + 1,) * 2, mode="bicubic")[0]
    lattice *= torch.tensor([3.0, 3.0, 0.02, 0.02, 0.02], device=device)[:, None, None]
    box = (100, 300, 100 + side, 300 + side)
    for backend in available(device, "warp_pixels"):
        name = "plain torch" if backend == "torch" else backend
        yield f"{side}²", name, partial(warp_pixels, frame, lattice, box, step, backend)

    def read() -> Tensor:
        offsets = F.interpolate(lattice[None], (side, side), mode="bilinear")
        square = frame[100 : 100 + side, 300 : 300 + side].permute(2, 0, 1)[None].float()
        points = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 3, side, side], align_corners=False)
        points = points + (2 / side) * offsets[:, :2].permute(0, 2, 3, 1)
        value = F.grid_sample(square, points, mode="bicubic", padding_mode="border", align_corners=False)
        value = (value + 255 * offsets[:, 2:]).round_().clamp_(0, 255).to(torch.uint8)
        return value[0].permute(1, 2, 0).contiguous()

    yield f"{side}²", "grid_sample bicubic", read


CASES: dict[str, Cases] = {
    "sample": sample_cases,
    "hash_encode": hash_cases,
    "lattice": lattice_cases,
    "fused_step": step_cases,
    "render": render_cases,
    "warp_pixels": warp_pixels_cases,
}


def measure(operation: str, device: str) -> list[dict[str, Any]]:
    """Time each case; the ratio is to the first of its size."""
    rows: list[dict[str, Any]] = []
    for size, method, call in CASES[operation](device):
        with PeakMemory() as peak:
            spread = time_calls(call)
        first = next((row for row in rows if row["size"] == size), None)
        ratio = 1e3 * spread.median / first["ms"] if first else 1.0
        told = {"ratio": round(ratio, 2), "peak_mib": peak.mib}
        rows.append({"operation": operation, "size": size, "method": method, **spread.row(), **told})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="operations")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    failed = [operation for operation in options.only if not passes(operation)]
    print(f"{'operation':12s} {'size':24s} {'method':34s} {'ms':>9s} {'quarters':>17s} {'ratio':>7s}")
    for operation in options.only:
        if operation in failed or (operation in CPU_ONLY and options.device != "cpu"):
            continue
        torch.manual_seed(0)
        for row in measure(operation, options.device):
            rows.append(row)
            quarters = f"{row['low']:.2f} to {row['high']:.2f}"
            name = f"{row['operation']:12s} {row['size']:24s} {row['method']:34s}"
            print(f"{name} {row['ms']:9.2f} {quarters:>17s} {row['ratio']:7.2f}{tell_peak(row)}", flush=True)
    if options.json:
        write_report(options.json, {**environment(), "rows": rows})
    if failed:
        sys.exit(f"kernels: not told, since their tests fail: {', '.join(failed)}")


if __name__ == "__main__":
    main()
