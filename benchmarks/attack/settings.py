"""Settings, flags and TOML files, of which most are wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
import fractions
import io
import json
import math
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import flowedit
from benchmarks.attack.forge import NUMBERS, plain
from benchmarks.attack.outcome import PROMPT, Fault, check_line, check_refusal, digests
from flowedit import Config

FLAGS = ("--strength", "--shape", "--color", "--also", "--encoder", "--judge", "--plot", "--sheet", "--save-edit",
         "--config", "-o")  # fmt: skip


def wild(rng: random.Random) -> Any:
    """Return any Python value: numbers of other libraries, texts, containers, objects."""
    x = rng.choice((*NUMBERS[:-5], 0.1, 7))
    others = (
        lambda: np.float32(min(max(x, -1e30), 1e30)), lambda: np.float16(0.1), lambda: np.int64(3), lambda: np.bool_(1),
        lambda: np.array(2), lambda: np.array([1, 2]), lambda: torch.tensor(0.5), lambda: torch.tensor([1]),
        lambda: torch.tensor(math.nan), lambda: torch.tensor(1j), lambda: np.datetime64("nat"), lambda: np.str_("hash"),
        lambda: decimal.Decimal("0.1"), lambda: decimal.Decimal("sNaN"), lambda: fractions.Fraction(1, 3),
        lambda: fractions.Fraction(10**400), lambda: 1j, lambda: b"raster", object, lambda: int, lambda: len,
        lambda: {"largest"}, lambda: ("mouth",), lambda: ["mouth", "x\ny"], lambda: Path("\0"), lambda: Path("no.png"),
        lambda: {"bending": 1}, lambda: Config().hash, lambda: torch.device("cpu"), lambda: range(3),
        lambda: (i for i in ()), lambda: "mouth", lambda: "cuda:99", lambda: "hash", lambda: "all",
    )  # fmt: skip
    return rng.choice(others)() if rng.random() < 0.5 else plain(rng)


def config_fields(group: Any = None, prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dataclasses.Field]]:
    """List every setting of Config with the names that lead to it; a group is listed too."""
    group = Config() if group is None else group
    listed = []
    for field in dataclasses.fields(group):
        listed.append(((*prefix, field.name), field))
        if dataclasses.is_dataclass(value := getattr(group, field.name)):
            listed += config_fields(value, (*prefix, field.name))
    return listed


def settings(rng: random.Random, value: Callable[[random.Random], Any] = wild) -> dict[str, Any]:
    """Return one to three settings, nested as `Config.from_dict` takes them, of which most are wrong."""
    chosen: dict[str, Any] = {}
    for _ in range(rng.choice((1, 1, 2, 3))):
        path, field = rng.choice(config_fields())
        limits = [field.metadata[k] for k in ("least", "above") if field.metadata.get(k) is not None]
        near = rng.random() < 0.6 and bool(limits)
        node = chosen
        for name in path[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                break
        else:
            near_values = [limit + step for limit in limits for step in (0, 0, 1, 1, 1e-9, -1e-9, -1)]
            node[path[-1] if rng.random() < 0.97 else "mispelt"] = rng.choice(near_values) if near else value(rng)
    return chosen


def names_of(chosen: Any) -> Iterator[str]:
    """Yield the names of all settings in a nested dict, and their values that are texts."""
    if isinstance(chosen, (str, Path)):
        yield str(chosen) or "''"
        yield repr(str(chosen))[1:-1] or "''"
    for name, value in chosen.items() if isinstance(chosen, dict) else ():
        yield str(name)
        yield from names_of(value)


def toml(rng: random.Random, chosen: dict[str, Any]) -> str:
    """Return settings as a TOML file, or something near one."""
    text = ""
    for name, value in sorted(chosen.items(), key=lambda item: isinstance(item[1], dict)):
        table = isinstance(value, dict)
        text += f"[{name}]\n" if table else ""
        text += "".join(f"{k} = {_literal(v)}\n" for k, v in (value.items() if table else [(name, value)]))
    return rng.choice((text, text, text, 2 * text, text[: len(text) // 2], "\0" + text, "[" * 5000, "a." * 5000))


def _literal(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value).replace("null", "'none'").replace("NaN", "nan").replace("Infinity", "inf")


def flags(rng: random.Random) -> list[str]:
    """Return flags of `flowedit edit`, of which most are wrong."""
    words: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        path, _ = rng.choice(config_fields())
        name = "--" + ".".join(path).replace("_", "-")
        name = rng.choice((name, rng.choice((*FLAGS, "--no-" + path[-1], name[:-1]))))
        text = str(wild(rng)).replace("\0", "")[:500]
        text = text if rng.random() < 0.8 else rng.choice((" ", "--", "-1", "a=nan", "x="))
        words += [name, text] if rng.random() < 0.9 else [name]
    return words


def attempt_settings(rng: random.Random, folder: Path, genuine: Path, told: list[str]) -> str:
    kind = rng.choice(("values", "values", "keywords", "toml", "flags"))
    if kind == "flags":
        words = flags(rng)
        told.append(repr(words))
        return run_flags(words, folder, genuine)
    if kind == "toml":
        chosen = settings(rng, plain)
        (path := folder / "settings.toml").write_text(text := toml(rng, chosen), encoding="utf-8", errors="replace")
        told.append(text)
        make, names = (lambda: flowedit.Config.from_toml(path)), (path.name, *names_of(chosen))
    else:
        chosen = settings(rng)
        told.append(repr(chosen))
        names = tuple(names_of(chosen))
        make = (lambda: flowedit.Config.from_dict(chosen)) if kind == "values" else lambda: flowedit.Config(**chosen)
        if kind == "keywords" and "mispelt" in chosen:
            return "refused"  # by Python
    try:
        config = make()
        config = dataclasses.replace(config, steps=min(config.steps or 2, 2))
        whole = not (config.region or config.protect or config.displacement)
        config = dataclasses.replace(config, align=False) if whole and rng.random() < 0.7 else config
        photo = genuine / "face.png" if config.align else np.asarray(Image.open(genuine / "face.png"))[:48, :40]
        edit = flowedit.optimize(photo, PROMPT, config=config)
        finite = bool(torch.isfinite(edit.render()).all())
    except Exception as error:
        return check_refusal(error, *names)
    if not finite:
        raise Fault("wrong", "it is rendered with NaN or infinity")
    return "worked"


def run_flags(words: list[str], folder: Path, genuine: Path) -> str:
    """Run `flowedit edit` in this process; its exit code, its lines and its file must fit each other."""
    shutil.copy(genuine / "face.png", folder)
    before, here = digests(folder), Path.cwd()
    said, argv = io.StringIO(), sys.argv
    sys.argv = ["flowedit", "edit", "face.png", PROMPT, "--steps", "1", "--quiet", *words]
    from flowedit.__main__ import main

    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            try:
                code = main()
            except SystemExit as stop:
                code = stop.code
    finally:
        sys.argv = argv
        os.chdir(here)
    text = said.getvalue()
    lines = [line for line in text.splitlines() if not line.startswith("flowedit: warning: ")]
    if "--debug shows where" in text or "Traceback" in text:
        raise Fault("traceback", text[-500:])
    if any(digests(folder).get(name) != digest for name, digest in before.items()):
        raise Fault("lost", "the photo was changed")
    if code:
        last = [word.rpartition(".")[2] for word in words]
        names = [*(word.lstrip("-")[:30] for word in words), *last, *(word.replace("-", "_") for word in last)]
        check_line("\n".join(lines), *names, "PROMPT", "PHOTO")
        return "refused"
    if lines or not [path for path in folder.rglob("*") if path.is_file() and path.name != "face.png"]:
        raise Fault("wrong", f"exit code 0 with {lines} and the files {os.listdir(folder)}")
    return "worked"
