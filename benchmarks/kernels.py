"""Time every operation of flowedit.kernels against what else would do it; an operation whose test fails is not told."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
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
from flowedit.kernels import (
    LatticeEncoding,
    available,
    hash_encode,
    look,
    paint,
    penalties,
    stage,
    upsample,
    warp_color,
)
from flowedit.kernels.hash_encode import reference as naive
from flowedit.photo.photo import Photo
from flowedit.transform.render import render
from flowedit.transform.transforms import FieldTransform

GRID = {"n_levels": 16, "table_size": 2**15, "base_resolution": 16, "per_level_scale": 1.38}
TESTS = {
    "hash_encode": ("tests/test_kernels.py", "hash or lattice or bits"),
    "warp_color": ("tests/test_kernels.py", "warp or bits"),
    "upsample": ("tests/test_stencils.py", "upsampl"),
    "penalties": ("tests/test_penalties.py", ""),
    "paint": ("tests/test_paint.py", ""),
    "look": ("tests/test_look.py", ""),
    "stage": ("tests/test_stage.py", ""),
    "render": ("tests/test_render.py", ""),
}
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


def hash_cases(device: str) -> Iterator[Case]:
    """A lattice of points and any points, each level of 2 features; the naive way is the plain-torch meaning."""
    grid = (GRID["base_resolution"], GRID["per_level_scale"])
    for side in (224, 512):
        line = ((torch.arange(side, device=device, dtype=torch.float64) + 0.5) / side) * 0.97
        points = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2).float()
        table = torch.randn(GRID["n_levels"], GRID["table_size"], 2, device=device)
        for backend in available(device, "lattice"):
            name = "lattice, constant CSR matrix" if backend == "torch" else f"lattice, {backend}"
            encoding = LatticeEncoding(line, line, *GRID.values(), backend=backend)
            yield f"{side}²", name, there_and_back(encoding, table)
        yield f"{side}²", "naive torch", there_and_back(lambda t, p=points: naive.hash_encode(p, t, *grid), table)
        for backend in available(device, "hash_encode"):
            if backend != "torch":
                call = partial(hash_encode, points, base_resolution=grid[0], per_level_scale=grid[1], backend=backend)
                yield f"{side}²", f"any points, {backend}", there_and_back(lambda t, c=call: c(table=t), table)


def warp_cases(device: str) -> Iterator[Case]:
    """One RGB image; gradients to coord and color."""
    from kornia.geometry import remap

    def by_kornia(image: Tensor, at: Tensor, coord: Tensor, color: Tensor) -> Tensor:
        x, y = (at + coord).unbind(1)
        settings = {"padding_mode": "border", "align_corners": False, "normalized_coordinates": True}
        return remap(image, x, y, **settings) + color

    def by_torch(image: Tensor, at: Tensor, coord: Tensor, color: Tensor) -> Tensor:
        grid = (at + coord).permute(0, 2, 3, 1)
        return F.grid_sample(image, grid, padding_mode="border", align_corners=False) + color

    for side in (224, 512, 1024):
        image, color = torch.rand(2, 1, 3, side, side, device=device)
        coord = torch.randn(1, 2, side, side, device=device) * 0.02
        at = F.affine_grid(torch.eye(2, 3, device=device)[None], [1, 3, side, side], align_corners=False)
        at = at.permute(0, 3, 1, 2).contiguous()
        for backend in available(device, "warp_color"):
            name = "plain torch" if backend == "torch" else backend
            yield f"{side}²", name, there_and_back(partial(warp_color, image, backend=backend), coord, color)
        yield f"{side}²", "kornia's remap, +", there_and_back(partial(by_kornia, image, at), coord, color)
        yield f"{side}²", "grid_sample, +", there_and_back(partial(by_torch, image, at), coord, color)


def upsample_cases(device: str) -> Iterator[Case]:
    """Five planes: the offsets and the tint."""
    for size, side, stencil in ((32, 256, "b_spline"), (128, 256, "linear")):
        values = torch.randn(1, 5, size, size, device=device)
        shape = f"{size}² to {side}², {stencil}"
        for backend in available(device, "upsample"):
            name = "matrix products" if backend == "torch" else backend
            call = partial(upsample, height=side, width=side, stencil=stencil, backend=backend)
            yield shape, name, there_and_back(call, values)
        if stencil == "linear":
            call = partial(F.interpolate, size=(side, side), mode="bilinear", align_corners=False)
            yield shape, "interpolate", there_and_back(call, values)


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


def face_cases(operation: Callable[..., Any], leaves: Sequence[str], fixed: Sequence[str], **numbers: float) -> Cases:
    """An operation on that face, by each backend, and the gradients of all that it returns."""

    def cases(device: str) -> Iterator[Case]:
        given = face(device)

        def forward(*values: Tensor, backend: str) -> Tensor:
            found = operation(
                **dict(zip(leaves, values, strict=True)), **{name: given[name] for name in fixed}, **numbers,
                backend=backend,
            )  # fmt: skip
            return found if isinstance(found, Tensor) else torch.cat([x.flatten() for x in found])

        for backend in available(device, operation.__name__):
            name = "plain torch" if backend == "torch" else backend
            values = [given[leaf] for leaf in leaves]
            yield f"{LATTICE}²", name, there_and_back(partial(forward, backend=backend), *values)

    return cases


PRICED, PAINTED, SEEN = ("price", "even_x", "even_y"), ("weight", "paints", "masks"), ("image", "theta", "gain")


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


CASES = {
    "hash_encode": hash_cases,
    "warp_color": warp_cases,
    "upsample": upsample_cases,
    "penalties": face_cases(penalties, ("coord", "color"), PRICED),
    "paint": face_cases(paint, ("color", "palette"), PAINTED, limit=0.15),
    "look": face_cases(look, ("coord", "color"), SEEN, size=128),
    "stage": face_cases(stage, ("coord", "color", "palette"), (*PAINTED, *PRICED, *SEEN), limit=0.15, size=128),
    "render": render_cases,
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


def stored_bytes() -> Iterator[str]:
    """Say what the constant encoding keeps beside table and output, for 224² points."""
    line = (torch.arange(224, dtype=torch.float64) + 0.5) / 224
    given = 4 * 2 * GRID["n_levels"] * (GRID["table_size"] + 224**2)
    for backend in available("cpu", "lattice"):
        kept = vars(LatticeEncoding(line, line, *GRID.values(), backend=backend)._encode).values()
        total = 0
        for tensor in (t for t in kept if isinstance(t, Tensor)):
            sparse = tensor.layout == torch.sparse_csr
            parts = (tensor.values(), tensor.col_indices(), tensor.crow_indices()) if sparse else (tensor,)
            total += sum(part.numel() * part.element_size() for part in parts)
        yield f"hash_encode 224², {backend}: {1 + total / given:.2f} times table plus output"


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
        if operation in failed or (operation == "render" and options.device != "cpu"):
            continue
        torch.manual_seed(0)
        for row in measure(operation, options.device):
            rows.append(row)
            quarters = f"{row['low']:.2f} to {row['high']:.2f}"
            name = f"{row['operation']:12s} {row['size']:24s} {row['method']:34s}"
            print(f"{name} {row['ms']:9.2f} {quarters:>17s} {row['ratio']:7.2f}{tell_peak(row)}", flush=True)
    for line in stored_bytes():
        print(line)
    if options.json:
        write_report(options.json, {**environment(), "rows": rows})
    if failed:
        sys.exit(f"kernels: not told, since their tests fail: {', '.join(failed)}")


if __name__ == "__main__":
    main()
