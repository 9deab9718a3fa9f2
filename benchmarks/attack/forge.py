"""Forged edit files: genuine ones, changed at random, with a digest that fits."""

from __future__ import annotations

import hashlib
import json
import math
import random
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowedit
from benchmarks.attack.outcome import Fault, check_refusal

Tensors = dict[str, tuple[str, list[int], bytes]]  # name -> safetensors' dtype, shape, bytes
Head = dict[str, Any]
SIZES = {"F32": ("float32", 4), "F64": ("float64", 8), "F16": ("float16", 2), "I64": ("int64", 8), "U8": ("uint8", 1),
         "BOOL": ("bool", 1), "I32": ("int32", 4)}  # fmt: skip
NUMBERS = (0, -0.0, 1, -1, 2, 0.5, 3.7, 1e-30, 1e308, -1e308, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400,
           math.nan, math.inf, -math.inf)  # fmt: skip
TEXTS = ("", " ", "x", "1", "nan", "a\nb", "\x1b[31m", "\u202e", "é" * 40, "x" * 100_000, "../../etc/passwd", "\ud800")


def plain(rng: random.Random, depth: int = 0) -> Any:
    """Return any value that JSON can hold, and NaN, infinities and whole numbers of any length."""
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind < 4:
        return (None, rng.random() < 0.5, rng.choice(NUMBERS), rng.choice(TEXTS))[kind]
    count = rng.choice((0, 1, 3, 68))
    values = [plain(rng, depth + 1) for _ in range(count)]
    return values if kind == 4 else {str(i): value for i, value in enumerate(values)}


def unpack(data: bytes) -> tuple[Head, Tensors]:
    """Split a genuine edit file into its head and its tensors."""
    length = int.from_bytes(data[:8], "little")
    table, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    head = json.loads(table.pop("__metadata__")["flowedit"].partition(" ")[2])  # behind the digest
    return head, {n: (e["dtype"], e["shape"], body[slice(*e["data_offsets"])]) for n, e in table.items()}


def pack(text: str, tensors: Tensors, table: dict[str, Any] | None = None) -> bytes:
    """Write an edit file with a digest that fits, whatever it holds."""
    digest, body, entries = hashlib.sha256(text.encode("utf-8", "replace")), b"", {}
    for name, (dtype, shape, values) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(values)]}
        body += values
    for name, (dtype, shape, values) in sorted(tensors.items()):
        digest.update(f"{name} torch.{SIZES[dtype][0]} {tuple(shape)}".encode() + values)
    metadata = {"flowedit": f"{digest.hexdigest()} {text}"}
    header = json.dumps({"__metadata__": metadata, **entries, **(table or {})}).encode()
    return len(header).to_bytes(8, "little") + header + body


def holders(node: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yield every dict inside `node` that has a key."""
    if isinstance(node, dict):
        if key in node:
            yield node
        for value in node.values():
            yield from holders(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from holders(value, key)


def leaf_list(head: Head) -> list[Any]:
    """Return the list of transforms in the head of an edit file."""
    return next(value for value in head.values() if isinstance(value, list) and any(holders(value, "crop")))


def _spot(rng: random.Random, head: Head) -> tuple[Any, Any]:
    """Return a container somewhere inside the head, and a key or index of it."""
    node: Any = head
    while True:
        key = rng.choice(sorted(node) if isinstance(node, dict) else range(len(node)))
        if not (isinstance(node[key], (dict, list)) and node[key]) or rng.random() < 0.2:
            return node, key
        node = node[key]


def _drop(rng: random.Random, head: Head, tensors: Tensors) -> None:
    node, key = _spot(rng, head)
    del node[key]


def _replace(rng: random.Random, head: Head, tensors: Tensors) -> None:
    for _ in range(rng.choice((1, 1, 3))):
        node, key = _spot(rng, head)
        node[key] = plain(rng)


def _rename(rng: random.Random, head: Head, tensors: Tensors) -> None:
    node, key = _spot(rng, head)
    if isinstance(node, dict):
        node[rng.choice((*TEXTS[:6], "photo", "config", "transforms"))] = node.pop(key)
    else:
        node.append(plain(rng))


def _nest(rng: random.Random, head: Head, tensors: Tensors) -> None:
    """Wrap a transform up to 60 deep in what does it, undoes it, or does many."""
    inner, width = leaf_list(head)[:], rng.choice((1, 1, 2, 50))
    for _ in range(rng.choice((1, 3, 20, 60, 150)) if width == 1 else 1):
        inner = [{"strength": 1.0, **({"chain": [inner] * width} if rng.random() < 0.5 else {"undo": inner})}]
    leaf_list(head)[:] = inner
    copies = sum(1 for _ in holders(leaf_list(head), "crop"))
    for name, value in list(tensors.items()):
        number, _, rest = name.partition(".")
        for i in range(copies if number == "0" else 0):
            tensors[f"{i}.{rest}"] = value


def _crop(rng: random.Random, head: Head, tensors: Tensors) -> None:
    crop = rng.choice(list(holders(head, "matrix")))
    change = rng.randrange(4)
    if change == 0:
        scale = rng.choice((2e7, 1e300, 1e-300, 1e-6, -1, 0, math.nan, 1e5))
        crop["matrix"] = [[scale * x for x in row] for row in crop["matrix"]]
    elif change == 1:
        crop["matrix"][rng.randrange(2)][2] = rng.choice(NUMBERS)
    elif crop.get("landmarks"):
        if change == 2:
            for point in rng.sample(crop["landmarks"], 3):
                point[rng.randrange(2)] = rng.choice(NUMBERS)
        else:
            scale = rng.choice((0, 1e-20, 1e6, 1e30))
            crop["landmarks"] = [[scale * x for x in p] for p in crop["landmarks"]]


def _numbers(rng: random.Random, head: Head, tensors: Tensors) -> None:
    """Change what must be a number, a name or a size."""
    names = ("strength", "coord_size", "color_size", "max_shift", "max_tint", "n_levels", "log2_hashmap_size", "kind",
             "base_resolution", "per_level_scale", "hidden", "n_hidden", "n_features_per_level", "diffeomorphic",
             "region", "prompts", "history", "stopped", "facts", "photo_size", "similarity", "format", "hard_mask",
             "in_place", "made_of", "gain", "judge", "encoder", "photo_sha256", "config")  # fmt: skip
    present = [name for name in names if any(holders(head, name))]
    name = rng.choice(present)
    value = rng.choice((*NUMBERS, True, "3", -5, 4096, 22, 32, [0, 0], [-1, 5], [2**40, 2**40], {}, {"x": None}, None))
    rng.choice(list(holders(head, name)))[name] = value


def _protect(rng: random.Random, head: Head, tensors: Tensors) -> None:
    names = [rng.choice(("mouth", "eyes", "jaw", "x", "\n")) for _ in range(3)]
    value = rng.choice((names, 20_000 * names[:1], 20_000 * ["mouth"], "mouth", [["mouth"]], {"mouth": 1}, [None]))
    rng.choice(list(holders(head, "crop")))["protect"] = value


@cache
def _deflated(mib: int) -> bytes:
    packer, block = zlib.compressobj(1), bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(mib)) + packer.flush()


def _bomb(rng: random.Random, head: Head, tensors: Tensors) -> None:
    """Make a mask of about a megabyte that inflates to a gigabyte, or one that is not what its shape tells."""
    side = rng.choice((0, 1, 256, 20_000, 40_000, 2**40))
    packed = _deflated(rng.choice((1, 1536)))
    packed = packed[: len(packed) // rng.choice((1, 1, 2))]
    rng.choice(list(holders(head, "crop")))["hard_mask"] = [side, rng.choice((side, -1, 1))]
    tensors["0.hard_mask"] = ("U8", [len(packed)], packed)


def _duplicate(rng: random.Random, head: Head, tensors: Tensors) -> str:
    text = json.dumps(head)
    key = rng.choice(("strength", "crop", "prompts", "format", "facts"))
    return text.replace(f'"{key}":', f'"{key}": {json.dumps(plain(rng))}, "{key}":', rng.choice((1, -1)))


def _deep_text(rng: random.Random, head: Head, tensors: Tensors) -> str:
    n = rng.choice((500, 100_000))
    deep = rng.choice(("[" * n + "]" * n, '{"a":' * n + "1" + "}" * n, "9" * n, '"\\ud800"', "", "[]", "null", "{"))
    return json.dumps({**head, "facts": "DEEP"}).replace('"DEEP"', deep) if rng.random() < 0.7 else deep


def _values(rng: random.Random, head: Head, tensors: Tensors) -> None:
    """Change the numbers inside a tensor."""
    name = rng.choice(sorted(tensors))
    dtype, shape, data = tensors[name]
    values = np.frombuffer(data, SIZES[dtype][0]).copy()
    if len(values):
        places = rng.choice((slice(None), slice(0, 1), slice(-3, None)))
        extreme = (math.nan, math.inf, 3e38, -3e38, 1e-45) if dtype[0] == "F" else (0, 1, 255)
        values[places] = rng.choice(extreme)
    tensors[name] = (dtype, shape, values.tobytes())


def _shape(rng: random.Random, head: Head, tensors: Tensors) -> bytes | None:
    """Change the shape or dtype of a tensor, or what the table tells of it."""
    name = rng.choice(sorted(tensors))
    dtype, shape, data = tensors[name]
    change = rng.randrange(5)
    if change == 0:
        tensors[name] = (dtype, rng.choice(([], [len(data) // SIZES[dtype][1]], shape[::-1], [1, *shape])), data)
        count = math.prod(tensors[name][1]) * SIZES[dtype][1]
        tensors[name] = (dtype, tensors[name][1], (data * 2)[:count])
    elif change == 1:
        other = rng.choice(sorted(SIZES))
        tensors[name] = (other, shape, bytes(math.prod(shape) * SIZES[other][1]))
    elif change == 2:
        tensors[name] = (dtype, rng.choice(([0], [0, 2**60], [2, 0, 0], [0, *shape])), b"")
    else:
        offsets = rng.choice(([0, 2**62], [5, 2], [0], [0, len(data)]))
        size = rng.choice(([2**40, 2**40], [-1], "x", shape))
        entry = {"dtype": rng.choice((dtype, "F8_E4M3", "X", 3)), "shape": size, "data_offsets": offsets}
        return pack(json.dumps(head), {n: t for n, t in tensors.items() if n != name}, {name: entry})
    return None


def _names(rng: random.Random, head: Head, tensors: Tensors) -> None:
    """Drop, add or rename a tensor."""
    name = rng.choice(sorted(tensors))
    rest = name.partition(".")[2]
    new = rng.choice(("x", "x.y", "0", ".", "", "-1." + rest, f"{10**9}.{rest}", "1." + rest, "0.0." + rest, "0.extra"))
    value = tensors[name] if rng.random() < 0.5 else tensors.pop(name)
    if rng.random() < 0.7:
        tensors[new] = value


def _damage(rng: random.Random, head: Head, tensors: Tensors) -> bytes:
    """Truncate, flip, lengthen, or make it another kind of file; the digest stays."""
    data = bytearray(pack(json.dumps(head), tensors))
    change = rng.randrange(6)
    if change == 0:
        return bytes(data[: rng.choice((0, 1, 7, 8, 9, rng.randrange(len(data))))])
    if change == 1:
        for _ in range(rng.choice((1, 8, 100))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif change == 2:
        data[:8] = rng.choice((0, 1, 2**63, 2**64 - 1, len(data), 10**8)).to_bytes(8, "little")
    elif change == 3:
        data += bytes(rng.choice((1, 1000)))
    elif change == 4:
        n = rng.choice((1000, 1_000_000))
        return n.to_bytes(8, "little") + b"[" * n
    else:
        header = b'{"__metadata__": ' + json.dumps(plain(rng)).encode("utf-8", "replace") + b"}"
        return len(header).to_bytes(8, "little") + header
    return bytes(data)


MUTATIONS: dict[str, Callable[[random.Random, Head, Tensors], bytes | str | None]] = {
    function.__name__[1:]: function
    for function in (_drop, _replace, _rename, _nest, _crop, _numbers, _protect, _bomb, _duplicate, _deep_text,
                     _values, _shape, _names, _damage)
}  # fmt: skip


def forge(rng: random.Random, genuine: bytes, names: tuple[str, ...] = tuple(MUTATIONS)) -> bytes:
    """Change a genuine edit file by one of the named mutations, and compute its digest anew."""
    head, tensors = unpack(genuine)
    changed = MUTATIONS[rng.choice(names)](rng, head, tensors)
    return changed if isinstance(changed, bytes) else pack(changed or json.dumps(head), tensors)


def shuffled(rng: random.Random, genuine: bytes, size: float = 0.02) -> bytes:
    """Return a valid edit file whose fields are random: smooth movements and tints about `size` field units long."""
    head, tensors = unpack(genuine)
    noise = np.random.default_rng(rng.getrandbits(32))
    for name, (dtype, shape, _) in tensors.items():
        if dtype == "F32" and "paints" not in name:
            tensors[name] = (dtype, shape, noise.normal(0, size, shape).astype(np.float32).tobytes())
    return pack(json.dumps(head), tensors)


def choose(rng: random.Random, genuine: Path) -> tuple[Path, str]:
    """Choose a genuine file and what to do with it."""
    return rng.choice(sorted(genuine.glob("*.flowedit"))), rng.choice(list(MUTATIONS))


def attempt_files(rng: random.Random, folder: Path, genuine: Path, told: list[str]) -> str:
    source, name = choose(rng, genuine)
    told.append(f"{name} of {source.name}")
    path = folder / "forged.flowedit"
    path.write_bytes(forge(rng, source.read_bytes(), (name,)))
    try:
        edit = flowedit.load(path)
    except Exception as error:
        return check_refusal(error, path.name)
    try:
        repr(edit)
        applied = edit.apply(genuine / ("face.png" if rng.random() < 0.8 else "other.png"))
        finite = bool(torch.isfinite(applied.render()).all())
        if rng.random() < 0.3:
            json.dumps(applied.explain())
            applied.save_edit(folder / "again.flowedit")
            flowedit.load(folder / "again.flowedit")
            applied.save(folder / "out.png")
    except Exception as error:
        return check_refusal(error)
    if not finite:
        raise Fault("wrong", "it is rendered with NaN or infinity")
    return "worked"
