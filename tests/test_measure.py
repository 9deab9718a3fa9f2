"""Measurements from landmarks: what each grows with, and what none depends on."""

from __future__ import annotations

import math

import pytest
import torch

from flowedit.face import landmarks as marks
from flowedit.face.measures import measure, polygon_area

TORCH = torch.Generator().manual_seed(0)


def face() -> torch.Tensor:
    """A made face with eye line level, y down, every part where it belongs: (68, 2) float64."""
    points = torch.zeros(68, 2, dtype=torch.float64)
    angle = torch.linspace(math.pi, 0, 17).double()
    points[:17] = torch.stack([0.6 * angle.cos(), 0.7 * angle.sin() - 0.1], -1)
    for start, x in ((17, -0.23), (22, 0.23)):
        points[start : start + 5, 0] = torch.linspace(-0.1, 0.1, 5) + x
        points[start : start + 5, 1] = -0.32
    points[27:31, 1] = torch.linspace(-0.1, 0.1, 4).double()
    points[31:36, 0], points[31:36, 1] = torch.linspace(-0.1, 0.1, 5).double(), 0.15
    eye = torch.tensor([[-1, 0], [-0.5, -0.5], [0.5, -0.5], [1, 0], [0.5, 0.5], [-0.5, 0.5]]).double() * 0.07
    points[36:42], points[42:48] = eye + torch.tensor([-0.23, -0.12]), eye + torch.tensor([0.23, -0.12])
    ring = math.pi - torch.arange(12).double() * math.pi / 6
    points[48:60] = torch.stack([0.2 * ring.cos(), 0.35 - 0.07 * ring.sin()], -1)
    inner = math.pi - torch.arange(8).double() * math.pi / 4
    points[60:68] = torch.stack([0.15 * inner.cos(), 0.35 - 0.02 * inner.sin()], -1)
    return points


def test_points_lie_where_their_names_say():
    points = face()
    pairs = [value for value in vars(marks).values() if isinstance(value, tuple) and len(value) == 2]
    assert len(pairs) == 13
    for left, right in pairs:
        assert points[left].reshape(-1, 2)[:, 0].mean() < 0 < points[right].reshape(-1, 2)[:, 0].mean()
    for upper, lower in zip(marks.UPPER_LIDS, marks.LOWER_LIDS, strict=True):
        assert points[upper, 0] == points[lower, 0] and points[upper, 1] < points[lower, 1]
    heights = points[list(marks.LIP_MIDDLES), 1]
    assert (heights.diff() >= 0).all() and points[marks.CHIN, 1] == points[:, 1].max()


def test_the_two_distances_between_eyes_differ():
    points = torch.stack([face(), 2 * face()])
    assert marks.interocular_distance(points).tolist() == pytest.approx([0.46, 0.92])
    assert marks.outer_canthal_distance(points).tolist() == pytest.approx([0.6, 1.2])


@pytest.mark.parametrize(("angle", "scale", "shift"), [(0.0, 1, 5.0), (0.7, 1, 0.0), (-2.0, 240.0, -31.0)])
def test_shift_rotation_and_scale_change_nothing(angle, scale, shift):
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    turned = face() @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64) + shift
    before, after = measure(face()), measure(turned)
    assert before.keys() == after.keys() and len(before) == 12
    for name in before:
        assert after[name].item() == pytest.approx(before[name].item(), abs=1e-9), name


@pytest.mark.parametrize(
    ("name", "points", "move"),
    [
        ("mouth_curvature", [48, 54], (0, -0.05)),
        ("mouth_open", [66], (0, 0.05)),
        ("mouth_width", [54], (0.05, 0)),
        ("lip_thickness", [57], (0, 0.03)),
        ("eye_area", [37, 38], (0, -0.02)),
        ("eye_open", [43, 44], (0, -0.02)),
        ("brow_height", list(range(17, 27)), (0, -0.05)),
        ("nose_width", [35], (0.05, 0)),
        ("nose_length", [33], (0, 0.05)),
        ("face_width", [15], (0.05, 0)),
        ("jaw_width", [12], (0.05, 0)),
        ("face_length", [8], (0, 0.05)),
    ],
)
def test_each_grows_with_its_own_part(name, points, move):
    moved = face()
    moved[points] += torch.tensor(move, dtype=torch.float64)
    assert measure(moved)[name] > measure(face())[name] + 1e-3


def test_known_numbers():
    numbers = measure(face())
    unit = 0.6  # from one outer eye corner to the other
    assert numbers["mouth_curvature"].item() == pytest.approx(0, abs=1e-9)
    assert numbers["mouth_width"].item() == pytest.approx(0.4 / unit)
    assert numbers["nose_width"].item() == pytest.approx(0.2 / unit)
    assert numbers["brow_height"].item() == pytest.approx(0.2 / unit)
    assert numbers["mouth_open"].item() == pytest.approx(0.04 / unit)
    assert numbers["eye_open"].item() == pytest.approx(0.5)
    assert numbers["eye_area"].item() == pytest.approx(0.07**2 * 1.5 / unit**2)


def test_a_batch_is_measured_at_once():
    one, other = face(), face() + 0.01 * torch.randn(68, 2, generator=TORCH).double()
    both = measure(torch.stack([one, other])[None])
    assert both["eye_area"].shape == (1, 2)
    for name, value in measure(other).items():
        assert both[name][0, 1].item() == pytest.approx(value.item()), name


@pytest.mark.parametrize("shape", [(67, 2), (68, 3), (2,), (68, 2, 1)])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"landmarks must have shape \(\.\.\., 68, 2\); got"):
        measure(torch.zeros(shape))


def test_area_of_polygons_of_either_turn():
    triangle = torch.tensor([[0.0, 0], [4, 0], [0, 3]])
    assert polygon_area(torch.stack([triangle, triangle.flip(0)])).tolist() == [6, 6]
