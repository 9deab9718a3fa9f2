"""`hash_encode` by tiny-cuda-nn's grid encoding, for those who have built it. Encoding only, in float32."""

from __future__ import annotations

from functools import lru_cache

import tinycudann
import torch
from torch import Tensor

from .reference import level


@lru_cache(maxsize=8)
def _encoding(n_levels: int, size: int, n_features: int, base_resolution: int, scale: float) -> torch.nn.Module:
    config = {
        "otype": "HashGrid", "n_levels": n_levels, "n_features_per_level": n_features,
        "log2_hashmap_size": size.bit_length() - 1, "base_resolution": base_resolution, "per_level_scale": scale,
    }  # fmt: skip
    return tinycudann.Encoding(2, config, seed=0, dtype=torch.float32)  # its own values are never used


def hash_encode(coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float) -> Tensor:
    """Arguments as in `flowedit.kernels.hash_encode`, float32, on CUDA; the gradient to table is added by atomics.

    Raises:
        ValueError: the table has hashed levels and its size is no power of two, or a row's features are none of 1, 2,
            4, 8.
    """
    n_levels, table_size, n_features = table.shape
    size = 1 << (table_size - 1).bit_length()  # what its tables are made of; one of dense levels only may be smaller
    levels = [level(k, size, base_resolution, per_level_scale) for k in range(n_levels)]
    ours = [level(k, table_size, base_resolution, per_level_scale) for k in range(n_levels)]
    if levels != ours or n_features not in (1, 2, 4, 8):
        expected = "a power of two of rows, each of 1, 2, 4 or 8 features, for tinycudann"
        raise ValueError(f"table must have {expected}; got shape {tuple(table.shape)}")
    encoding = _encoding(n_levels, size, n_features, base_resolution, per_level_scale)
    # It keeps one vector: of each level the rows in use.
    params = torch.cat([rows[: grid.entries].flatten() for rows, grid in zip(table, levels, strict=True)])
    return torch.func.functional_call(encoding, {"params": params}, (coords,))
