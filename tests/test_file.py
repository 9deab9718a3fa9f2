"""Edit files: the same edit after reading, the same bytes each time, and no harm from what others have written."""

from __future__ import annotations

import copy
import json
import math
import resource
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh import run_fresh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config, RasterConfig
from flowedit.edit import Edit
from flowedit.face.crop import Crop, whole_crop
from flowedit.face.part_tint import PartTint
from flowedit.field.hashgrid import HashField
from flowedit.field.make import FIELDS
from flowedit.field.raster import RasterField
from flowedit.photo.photo import load as load_photo
from flowedit.transform.file import FORMAT, content_digest
from flowedit.transform.transforms import FieldTransform, leaves

QUICK = Config(align=False, steps=3, raster=RasterConfig(4, 4))
PHOTO = load_photo(picture())


@pytest.fixture(scope="module")
def edit():
    return flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())


def make_leaf(seed, **options):
    """A field of little size, its parameters drawn from a seed."""
    generator = torch.Generator().manual_seed(seed)
    kind = options.pop("kind", RasterField)
    field = kind(3, 5) if kind is RasterField else HashField(n_levels=2, n_coord_levels=1, log2_hashmap_size=4)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter += 0.03 * torch.randn(parameter.shape, generator=generator)
    return FieldTransform(field, options.pop("crop", whole_crop(PHOTO)), **options)


def make_rich():
    """An edit with everything that a file may hold."""
    mask = np.zeros((PHOTO.height, PHOTO.width), np.float32)
    mask[4:, :9] = 1
    marks = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    masks = torch.tensor([200, 255, 50, 0], dtype=torch.uint8).expand(5, 4, 4)
    part_tint = PartTint(masks, torch.eye(3).repeat(5, 1, 1), 0.15)
    with torch.no_grad():
        part_tint.amounts += 0.02
    face = Crop(whole_crop(PHOTO).matrix, marks)
    masked = [make_leaf(seed, hard_mask=mask, strength=0.7) for seed in (1, 2)]
    transforms = (*masked, make_leaf(3, kind=HashField), make_leaf(4, crop=face, part_tint=part_tint))
    facts = {"encoder": "tiny", "photo_sha256": PHOTO.sha256, "photo_size": [PHOTO.width, PHOTO.height]}
    facts |= {"similarity": {"red": [0.1, 0.2]}, "gain": 0.5, "seconds": 1.5}
    one = Edit(PHOTO, transforms, {"red": 1.0}, 0.8, "as asked", "budget", {"text": [0.5, 0.25]}, facts)
    one = replace(one, config=QUICK)
    return one, (one + 0.5 * one) @ ~one


RICH, SUM = make_rich()


def test_a_saved_edit_renders_bit_identically(edit, tmp_path):
    again = flowedit.load(edit.save_edit(tmp_path / "red.flowedit")).apply(picture())
    assert torch.equal(again.render(), edit.render()) and not torch.equal(edit.render(), edit.render(0.0))
    assert np.array_equal(np.asarray(again.to_pil(0.0)), picture())
    assert again.config == edit.config and dict(again.facts) == dict(edit.facts) and again.stopped == edit.stopped


@pytest.mark.parametrize("made", [RICH, SUM], ids=["rich", "sum"])
def test_all_of_an_edit_comes_back(made, tmp_path):
    again = flowedit.load(made.save_edit(tmp_path / "all.flowedit"))
    assert torch.equal(replace(again, photo=PHOTO).render(), replace(made, photo=PHOTO).render())
    for name in ("prompts", "strength", "strength_reason", "stopped", "history", "config"):
        assert getattr(again, name) == getattr(made, name)
    masks = [leaf.hard_mask for leaf in leaves(again.transforms)]
    assert masks[0] is masks[1] is not None and masks[2] is None  # one in the file, one in memory


def test_parts_keep_their_own_bound(tmp_path):
    leaf = RICH.transforms[3]  # as on a gray photo, whose field has no tint of its own
    gray = replace(RICH, transforms=(replace(leaf, field=RasterField(3, 5, max_tint=0.0)),))
    again = flowedit.load(gray.save_edit(tmp_path / "gray.flowedit")).apply(picture())
    assert torch.equal(again.render(), gray.render()) and not torch.equal(gray.render(), gray.render(0.0))


def test_an_edit_gives_the_same_bytes_in_every_process(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_file; test_file.SUM.save_edit(sys.argv[2])"
    assert run_fresh(code, str(Path(__file__).parent), str(tmp_path / "one.flowedit")).returncode == 0
    here = [SUM.save_edit(tmp_path / name).read_bytes() for name in ("two.flowedit", "three.flowedit")]
    assert [(tmp_path / "one.flowedit").read_bytes()] * 2 == here


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"F32"', b'"I32"'), (b'"strength\\": 1.0', b'"strength\\": 9.0'), (b"red", b"bed")],
    ids=["dtype", "strength", "prompt"],
)
def test_a_changed_head_is_refused(edit, tmp_path, old, new):
    path = edit.save_edit(tmp_path / "red.flowedit")
    data = path.read_bytes()
    assert data.replace(old, new) != data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(ValueError, match=r"red\.flowedit must be a file made by save_edit"):
        flowedit.load(path)


@pytest.mark.parametrize("where", [-1, -200, 3])
def test_a_flipped_byte_is_refused(edit, tmp_path, where):
    path = edit.save_edit(tmp_path / "red.flowedit")
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"red\.flowedit must be a file made by save_edit"):
        flowedit.load(path)


def test_a_file_that_is_none_is_named(tmp_path):
    for path, error in ((tmp_path, OSError), (tmp_path / "none", FileNotFoundError)):
        with pytest.raises(error, match=str(path)):
            flowedit.load(path)
    for content in (b"", b"{}", b"\x08" + 7 * b"\x00" + b"{}      ", 100 * b"\xff", b"PK\x03\x04"):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(ValueError, match="other must be a file made by save_edit"):
            flowedit.load(tmp_path / "other")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "tiff"])
def test_a_picture_is_told_to_be_one(tmp_path, kind):
    Image.fromarray(picture()).save(tmp_path / f"a.{kind}")
    with pytest.raises(ValueError, match=f"a.{kind} must be a file made by save_edit: got a picture"):
        flowedit.load(tmp_path / f"a.{kind}")


@pytest.mark.parametrize(
    "settings", [{}, {"n_hidden": 3, "hidden": 7, "log2_hashmap_size": 3}, {"n_levels": 1, "n_coord_levels": 1}]
)
def test_values_are_counted_without_making_them(settings):
    for field in (HashField(**settings), RasterField(5, 7)):
        stored = sum(value.numel() for value in field.state_dict().values())
        assert FIELDS[field.settings()["kind"]].count_values(field.settings()) == stored


# --- files of others


def open_up(made, path):
    """Return the head and the tensors of an edit's file."""
    from safetensors import safe_open

    made.save_edit(path)
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["flowedit"].split(" ", 1)[1]), load_file(path)


def forge(path, head, tensors, *, version=FORMAT):
    """Write a file whose digest is right, whatever it holds."""
    text = head if isinstance(head, str) else json.dumps(head)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    digest = content_digest(text, tensors, tensors.__getitem__)
    metadata = {"flowedit": f"{digest} {text}"} if version > 3 else {"flowedit": text, "sha256": digest}
    save_file(tensors, path, metadata)
    return path


def refusal(path):
    """Load a file, which must be refused in one line that names it; return the line."""
    with pytest.raises((ValueError, OSError)) as error:
        flowedit.load(path)
    line = str(error.value)
    assert str(path) in line and "\n" not in line and len(line) < 600
    return line


def test_files_of_older_formats_are_read(tmp_path):
    head, tensors = open_up(RICH, tmp_path / "new.flowedit")
    for leaf in head["moves"]:
        leaf.pop("hard_mask_of")
        leaf.pop("part_tint_limit")
        leaf.pop("part_tint_follows")
    tensors["1.hard_mask"] = tensors["0.hard_mask"].clone()
    head.pop("config")
    *others, painted = RICH.transforms
    tint = copy.deepcopy(painted.part_tint)
    tint.follows = False  # the colors of parts did not go with a face's pixels
    then = replace(RICH, transforms=(*others, replace(painted, part_tint=tint))).render()
    assert not torch.equal(then, RICH.render())

    def check(old, version):
        path = forge(tmp_path / "old.flowedit", {**old, "format": version}, tensors, version=version)
        again = flowedit.load(path)
        assert torch.equal(replace(again, photo=PHOTO).render(), then) and again.config is None

    check(head, 3)
    for new, old in (("amounts", "palette"), ("masks", "parts"), ("paints", "paints")):
        tensors[f"3.{old}"] = tensors.pop(f"3.part_tint.{new}")
    for leaf in head["moves"]:
        leaf["field"]["n_parts"] = 5
    check(head, 2)
    layers = [{name: leaf[name] for name in ("field", "crop", "strength", "hard_mask")} for leaf in head.pop("moves")]
    check({**head, "layers": layers, "region": None}, 1)  # the oldest had no protect
    line = refusal(forge(tmp_path / "later.flowedit", {**head, "format": FORMAT + 1}, tensors))
    assert f"must have format 1 to {FORMAT}; got {FORMAT + 1}: another version's" in line


def bomb(size):
    packer = zlib.compressobj(9)
    return torch.frombuffer(bytearray(packer.compress(bytes(size)) + packer.flush()), dtype=torch.uint8)


def deep_undo(state):
    for _ in range(8):
        state = {"strength": 1.0, "undo": [state]}
    return state


HOSTILE = {
    "a mask that inflates": (
        lambda head, tensors: tensors.update({"0.hard_mask": bomb(200_000_000)}),
        "a hard mask must hold 40 x 48 bytes; got more",
    ),
    "a mask that says it is large": (
        lambda head, tensors: head["moves"][0].update(hard_mask=[80_000, 80_000]),
        "hard masks must have at most",
    ),
    "a field of gigabytes": (
        lambda head, tensors: head["moves"][2]["field"].update(
            n_levels=32, n_features_per_level=16, log2_hashmap_size=22, per_level_scale=2.0, base_resolution=64
        ),
        "a field's tensors must hold its",
    ),
    "a lattice of gigabytes": (
        lambda head, tensors: head["moves"][0]["field"].update(coord_size=4096),
        "a field's tensors must hold its",
    ),
    "a crop larger than any photo": (
        lambda head, tensors: head["moves"][0]["crop"].update(matrix=[[2e7, 0, 0], [0, 2e7, 0]]),
        "a crop's matrix must be",
    ),
    "undoing within undoing": (
        lambda head, tensors: head["moves"].__setitem__(0, deep_undo(head["moves"][0])),
        "an edit must take at most 10000 evaluations",
    ),
    "protecting ten thousand times": (
        lambda head, tensors: head["moves"][3].update(protect=["mouth"] * 20_000),
        "protect must be of mouth",
    ),
    "not a number in a tensor": (
        lambda head, tensors: tensors["0.coord"].fill_(math.nan),
        "coord must be finite",
    ),
    "an infinite parameter": (
        lambda head, tensors: tensors["2.table"].view(-1).__setitem__(0, math.inf),
        "table must be finite",
    ),
    "no prompts": (lambda head, tensors: head.pop("prompts"), "prompts must be texts with finite weights; got None"),
    "paint that goes as it likes": (
        lambda head, tensors: head["moves"][3].update(part_tint_follows="yes"),
        "part_tint_follows must be true or false; got 'yes'",
    ),
    "a strength that overflows": (
        lambda head, tensors: head["moves"][0].update(strength=1e300),
        "strength must be a number of at most 1e+06",
    ),
    "strengths that overflow together": (
        lambda head, tensors: head["moves"].__setitem__(
            0, {"strength": 1e6, "chain": [[{"strength": 1e6, "chain": [[head["moves"][0]]]}]]}
        ),
        "strengths must make at most",
    ),
    "a mask of another leaf that has none": (
        lambda head, tensors: head["moves"][1].update(hard_mask_of=3),
        "hard_mask_of must be a leaf with one; got 3",
    ),
    "masks without sides": (
        lambda head, tensors: tensors.update({"3.part_tint.masks": torch.zeros((), dtype=torch.uint8)}),
        "part_tint.masks must be",
    ),
    "a tensor too many": (
        lambda head, tensors: tensors.update({"9.coord": torch.zeros(3)}),
        "all tensors must be of fields; got '9.coord' too",
    ),
    "a reason that is none": (lambda head, tensors: head.update(stopped="bored"), "stopped must be one of steps, "),
    "facts of another kind": (lambda head, tensors: head["facts"].update(photo_size="large"), "photo_size must be"),
    "a judge that says nothing": (lambda head, tensors: head["facts"].update(judge={}), "judge must have a name"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_forged_file_asks_for_is_bounded(name, tmp_path):
    change, words = HOSTILE[name]
    head, tensors = open_up(RICH, tmp_path / "good.flowedit")
    change(head, tensors)
    path = forge(tmp_path / "forged.flowedit", head, tensors)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert words in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB
    assert time.process_time() - start < 5


HEADS = {
    "null": "null",
    "list": "[]",
    "cut": "{",
    "nan": '{"format": NaN}',
    "deep list": 50_000 * "[",
    "deep table": 50_000 * '{"a":',
    "long number": '{"format": %s}' % (5_000 * "9"),
    "nothing": '{"format": 4, "moves": []}',
}


@pytest.mark.parametrize("text", HEADS.values(), ids=HEADS)
def test_any_head_is_refused_in_a_line(text, tmp_path):
    refusal(forge(tmp_path / "forged.flowedit", text, {}))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10)
    | st.sampled_from([2**31, 2**63, 10**30, -(10**400), 1e6, -1e308, 1e-320, math.inf, math.nan, 0.5])
    | st.sampled_from(["", "mouth", "raster", "hash", "../x", "\x00\n", "9" * 50])
)
KEYS = st.sampled_from(["strength", "chain", "undo", "kind", "a"])
VALUES = st.recursive(
    SCALARS, lambda part: st.lists(part, max_size=4) | st.dictionaries(KEYS, part, max_size=3), max_leaves=8
)
NAMES = ["0.", "x", "-1.coord", "7.coord", "0.0.coord", "00.color", "٣.coord"]


def places(value, path=()):
    """List the ways to every value in a tree of JSON."""
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


def change_tensors(draw, tensors):
    name = draw(st.sampled_from(sorted(tensors)))
    what = draw(st.sampled_from(["drop", "rename", "reshape", "dtype", "empty", "nan", "large"]))
    tensor = tensors[name]
    if what == "drop":
        del tensors[name]
    elif what == "rename":
        tensors[draw(st.sampled_from(["0.", "x", "-1.coord", "7.coord", "0.0.coord", "00.color", "٣.coord"]))] = (
            tensors.pop(name)
        )
    elif what == "reshape":
        tensors[name] = tensor.reshape(1, -1)
    elif what == "dtype":
        kinds = [torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool]
        tensors[name] = tensor.to(draw(st.sampled_from(kinds)))
    elif what == "empty":
        tensors[name] = tensor.new_zeros(draw(st.sampled_from([(), (0,), (0, 3), (2, 0, 0)])))
    elif tensor.is_floating_point():
        tensor.view(-1)[0] = math.nan if what == "nan" else 3e38


@settings(max_examples=100, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(data=st.data())
def test_no_file_does_harm(data, tmp_path):
    opened = tmp_path / "opened"
    if not opened.exists():
        torch.save([open_up(made, tmp_path / "good.flowedit") for made in (RICH, SUM)], opened)
    head, tensors = copy.deepcopy(torch.load(opened, weights_only=True)[data.draw(st.integers(0, 1))])
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            way = data.draw(st.sampled_from([way for way in places(head) if way]))
            parent = head
            for key in way[:-1]:
                parent = parent[key]
            if data.draw(st.booleans()):
                parent[way[-1]] = data.draw(VALUES)
            else:
                del parent[way[-1]]
        elif tensors:
            change_tensors(data.draw, tensors)
    path = forge(tmp_path / "forged.flowedit", head, tensors)
    try:
        made = flowedit.load(path)
    except (ValueError, OSError) as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert isinstance(made, Edit) and repr(made) and json.dumps(made.provenance(), allow_nan=False)
        made.save_edit(tmp_path / "again.flowedit")
