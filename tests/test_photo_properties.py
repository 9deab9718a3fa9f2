"""Any array or tensor in, any lossless file out: the same pixels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as arrays  # noqa: E402

from flowedit.photo.photo import image_to_tensor, load, quantize, save  # noqa: E402

few = hypothesis.settings(max_examples=30, deadline=None, derandomize=True, database=None)


@st.composite
def pictures(draw, channels=(3, 4)):
    """An array as a program may hold it: either byte order, any strides, read-only or not."""
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from(channels)))
    dtype = np.dtype(draw(st.sampled_from(["u1", "<u2", ">u2"])))
    array = draw(arrays.arrays(dtype, shape))
    array = array[:: draw(st.sampled_from([1, -1])), :: draw(st.sampled_from([1, -1, 2]))]
    if draw(st.booleans()):
        array = array.swapaxes(0, 1)
    array.flags.writeable = draw(st.booleans())
    return array


@few
@hypothesis.given(pictures(), st.sampled_from([".png", ".tif"]))
def test_whole_numbers_come_back_exactly(array, suffix):
    photo = load(array)
    assert photo.pixels.dtype == array.dtype.newbyteorder("=") and np.array_equal(photo.pixels, array[..., :3])
    assert np.array_equal(quantize(photo.tensor(), photo.pixels.dtype), photo.pixels)
    with tempfile.TemporaryDirectory() as folder:
        back = load(save(Path(folder, f"a{suffix}"), photo.tensor(), photo=photo))
    assert back.pixels.dtype == photo.pixels.dtype and np.array_equal(back.pixels, array[..., :3])
    assert (back.alpha is None) if array.shape[2] == 3 else np.array_equal(back.alpha, array[..., 3])
    assert back.sha256 == photo.sha256


@few
@hypothesis.given(pictures())
def test_a_tensor_is_the_division_that_torch_does(array):
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    expected = torch.from_numpy(native.astype(np.float32)).permute(2, 0, 1)[None] / float(np.iinfo(native.dtype).max)
    assert torch.equal(image_to_tensor(array), expected)


@few
@hypothesis.given(arrays.arrays(st.sampled_from(["<f4", ">f4", "<f8", ">f8", "<f2"]), (3, 4, 3)))
def test_floats_are_kept_or_refused_by_their_range(array):
    low, high = float(array.min()), float(array.max())
    if not (low >= -1e-6 and high <= 1 + 1e-6):  # not-a-number too
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            load(array)
        return
    photo = load(array)
    assert np.array_equal(photo.pixels, array.astype(np.float32).clip(0, 1)) and photo.pixels.dtype == np.float32
    assert torch.equal(load(torch.from_numpy(photo.pixels).permute(2, 0, 1)).tensor(), photo.tensor())
