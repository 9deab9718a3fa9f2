"""Edit files: rendered alike after reading, and refused when a byte has changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config

QUICK = Config(align=False, steps=3, coord_size=4, color_size=4)


@pytest.fixture
def edit():
    return flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())


def test_a_saved_edit_renders_bit_identically(edit, tmp_path):
    again = flowedit.load(edit.save_edit(tmp_path / "red.flowedit")).apply(picture())
    assert torch.equal(again.render(), edit.render()) and not torch.equal(edit.render(), edit.render(0.0))
    assert np.array_equal(np.asarray(again.to_pil(0.0)), picture())


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
    with pytest.raises(ValueError, match=r"red\.flowedit must be"):
        flowedit.load(path)


@pytest.mark.parametrize("where", [-1, -200, 3])
def test_a_flipped_byte_is_refused(edit, tmp_path, where):
    path = edit.save_edit(tmp_path / "red.flowedit")
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"red\.flowedit must be"):
        flowedit.load(path)
