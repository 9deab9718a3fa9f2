"""VideoEditor: an edit carried through frames, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fresh import run_fresh

from benchmarks.motion import Motion, film, wave
from flowedit.edit import Edit
from flowedit.face.crop import Crop, face_crop
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.photo.photo import load
from flowedit.transform.transforms import FieldTransform
from flowedit.video import track
from flowedit.video.carry import CarriedEdit
from flowedit.video.editor import VideoEditor, _touching
from flowedit.video.openings import veil
from tests.test_video_tracking import SIZE, look_by_color, portrait, shots, still, two

MOUTH = torch.tensor([0.0, 0.35])


def edit(photo=True, crop=None, shift=0.05, tint=0.1):
    """Lift and redden the mouth of the test portrait."""
    picture, landmarks, _ = portrait()
    field = RasterField(32, 32, max_shift=0.1, max_tint=0.2)
    weight = torch.exp(-(pixel_centers(32) - MOUTH).square().sum(-1) / (2 * 0.15**2))
    with torch.no_grad():
        field.coord[1].copy_(shift * weight)
        field.color[0].copy_(tint * weight)
    transform = FieldTransform(field, crop or face_crop(landmarks))
    return Edit(load(picture) if photo else None, (transform,), {"a test": 1.0})


def run(editor, frames):
    """Edit frames; return the last with its edit."""
    for shot in frames:
        edited = editor.process(shot.pixels, shot.time)
    return shot, edited


def square(editor, frame):
    (face,) = editor.faces
    top, left, bottom, right = face.crop.box(*frame.shape[:2])
    outside = np.ones(frame.shape[:2], bool)
    outside[top:bottom, left:right] = False
    return outside


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_the_square_changes_and_the_frame_is_left_alone(dtype):
    editor = VideoEditor(edit())
    for shot in shots(lambda t: Motion((9 * wave(t, 1), 0), angle=20), 8, size=(240, 300)):
        frame = shot.pixels if dtype == np.uint8 else shot.pixels.astype(np.uint16) * 257
        before = frame.copy()
        edited = editor.process(frame, shot.time)
        assert np.array_equal(frame, before)
        assert edited.shape == frame.shape and edited.dtype == dtype and edited is not frame
        outside = square(editor, frame)
        assert outside.any() and np.array_equal(edited[outside], frame[outside])
    changed = np.abs(edited.astype(int) - frame).max()
    assert changed > 20 * (1 if dtype == np.uint8 else 257)


def test_nothing_reaches_the_corners_of_a_turned_square():
    editor = VideoEditor(edit(crop=None, shift=0.09, tint=0.0))
    shot, edited = run(editor, shots(lambda t: Motion(angle=20), 7, size=(240, 300)))
    y, x = np.mgrid[: shot.pixels.shape[0], : shot.pixels.shape[1]] + 0.5
    points = editor.faces[0].crop.to_crop(torch.from_numpy(np.stack([x, y], -1))).abs().amax(-1).numpy()
    moved = (edited != shot.pixels).any(-1)
    assert moved.any() and not moved[points >= 1].any()


def test_strength_zero_is_the_frame_and_no_patch():
    editor = VideoEditor(edit(), strength=0.0)
    for shot in shots(still, 6):
        assert editor.patches(shot.pixels, shot.time) == []
    assert np.array_equal(editor.process(shot.pixels, strength=0), shot.pixels)
    weak, strong = (
        np.abs(editor.process(shot.pixels, strength=strength).astype(int) - shot.pixels).sum() for strength in (0.3, 1)
    )
    assert 0 < weak < strong


def test_patches_put_in_are_the_edited_frame():
    one, other = VideoEditor(edit()), VideoEditor(edit())
    for shot in shots(still, 6):
        edited = one.process(shot.pixels, shot.time)
        patched = shot.pixels.copy()
        for (top, left, bottom, right), pixels in other.patches(shot.pixels, shot.time):
            assert pixels.shape == (bottom - top, right - left, 3) and pixels.dtype == np.uint8
            patched[top:bottom, left:right] = pixels
        assert np.array_equal(edited, patched)
    assert (edited != shot.pixels).any()


def test_the_edit_goes_with_the_face():
    """The edited photo, filmed, is what the editor makes of the film."""
    made = edit()
    move = lambda t: Motion((10 * wave(t, 2), 6 * wave(t, 2)), angle=8 * wave(t, 2), scale=1 + 0.1 * wave(t, 2))  # noqa: E731
    editor, (_, _, center) = VideoEditor(made), portrait()
    edited_picture = made.edited.pixels()
    pairs = zip(shots(move, 14), film(edited_picture, move, frames=14, size=SIZE, center=center), strict=True)
    for shot, exact in pairs:  # the last of them is compared
        got, filmed = editor.process(shot.pixels, shot.time), exact.pixels
    wanted, missed = (np.abs(each.astype(int) - filmed)[60:160, 80:180].mean() for each in (shot.pixels, got))
    assert missed < 0.3 * wanted and wanted > 2


def test_an_edit_of_another_photo_is_carried_over():
    shot, edited = run(VideoEditor(edit(photo=False)), shots(still, 7))
    own = run(VideoEditor(edit()), shots(still, 7))[1]
    change, wanted = (each.astype(int) - shot.pixels for each in (edited, own))
    assert np.abs(wanted).max() > 20
    assert np.corrcoef(change.flatten(), wanted.flatten())[0, 1] > 0.8


@pytest.mark.filterwarnings("error")
def test_a_frame_may_lie_in_memory_as_it_likes():
    one, other = VideoEditor(edit()), VideoEditor(edit())
    for shot in shots(still, 6):
        edited = one.process(shot.pixels, shot.time)
        awkward = np.asfortranarray(shot.pixels)
        awkward.setflags(write=False)
        assert np.array_equal(other.process(awkward, shot.time), edited)
    assert (edited != shot.pixels).any() and edited.flags.writeable


def test_a_frame_without_a_face_passes():
    frame = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    editor = VideoEditor(edit())
    assert np.array_equal(editor.process(frame), frame) and editor.faces == []


def change_left_and_right(editor, frames=8):
    for k in range(frames):
        frame = two(0)
        edited = editor.process(frame, k / 25)
    changed = (edited != frame).any(-1)
    return changed[:, :210].any(), changed[:, 210:].any()


@pytest.fixture
def by_color(monkeypatch):
    """Tells people by the color of their noses."""
    look_by_color(monkeypatch)


def test_everyone_gets_a_single_edit_and_each_their_own(by_color):
    made = edit(photo=False)
    assert change_left_and_right(VideoEditor(made)) == (True, True)
    assert change_left_and_right(VideoEditor([None, made])) == (False, True)
    assert change_left_and_right(VideoEditor({0: made})) == (True, False)


def test_own_is_the_person_on_the_photo(by_color):
    made = edit()  # of the left one
    assert change_left_and_right(VideoEditor(made, whose="own")) == (True, False)
    bluer = made.photo.pixels.copy()
    bluer[..., 0] //= 2
    assert change_left_and_right(VideoEditor(replace(made, photo=load(bluer)), whose="own")) == (False, True)


def test_a_better_look_may_tell_that_it_is_the_one_on_the_photo(monkeypatch):
    blur = {"now": 3.0}
    monkeypatch.setattr(track, "descriptor", lambda image, landmarks: torch.tensor([float(blur["now"])]))
    editor = VideoEditor(edit(), whose="own")
    editor._assign._portraits[id(editor._rest)] = [track.Portrait(0.0, torch.zeros(1), torch.zeros(1))]
    assert editor._assign._portraits[id(editor._rest)][0].descriptor == 3.0
    blur["now"] = 9.0  # as if unlike
    for shot in shots(still, 5):
        assert editor.patches(shot.pixels, shot.time) == []
    blur["now"] = 3.0
    look = editor.tracker.tracks[0].portrait
    editor.tracker.tracks[0].portrait = track.Portrait(look.quality + 1, look.pixels, look.landmarks)
    assert len(editor.patches(shot.pixels, shot.time + 0.04)) == 1


def test_an_edit_of_several_faces_goes_to_each_person(by_color):
    frame = two(0)
    _, landmarks, center = portrait()
    left = landmarks - torch.tensor(center) + torch.tensor([40 + 60.0, 10 + 75.0])
    crops = [face_crop(left), face_crop(left + torch.tensor([220.0, 0]))]
    transforms = edit(crop=crops[0]).transforms + edit(crop=crops[1], shift=0.0, tint=-0.1).transforms
    for photo in (load(frame), None):
        editor = VideoEditor(Edit(photo, transforms, {"a test": 1.0}))
        for k in range(8):
            edited = editor.process(frame, k / 25).astype(int)
        red = (edited - frame)[..., 0]
        assert red[:, :210].max() > 10 and red[:, 210:].max() <= 2 and red[:, 210:].min() < -10


def test_a_tint_goes_by_the_light_of_the_frame():
    tints = []
    for gain in (1.0, 0.4):
        shot, edited = run(VideoEditor(edit(shift=0.0)), shots(lambda t, gain=gain: Motion(gain=gain), 8))
        tints.append((edited.astype(int) - shot.pixels)[..., 0].max())
    assert 0.3 * tints[0] < tints[1] < 0.6 * tints[0]


def test_squares_that_touch_are_drawn_together():
    boxes = [(0, 0, 10, 10), (50, 50, 60, 60), (20, 5, 30, 15), (8, 8, 22, 12)]
    assert sorted(_touching(boxes)) == [[0, 2, 3], [1]]


# --- carrying


def carried():
    _, landmarks, _ = portrait()
    crop = face_crop(landmarks)
    return CarriedEdit(edit().transforms, crop), crop.landmarks


def places(size=24):
    return [axis.contiguous() for axis in (0.85 * pixel_centers(size)).reshape(-1, 2).T]


def test_at_its_own_landmarks_an_edit_is_itself():
    follower, landmarks = carried()
    x, y = places()
    exact = edit().transforms[0].field.at_points(torch.stack([x, y], -1))
    got = follower.bend(landmarks).read(x, y)
    assert torch.allclose(got[:2].T, exact[0], atol=1e-3) and torch.allclose(got[2:].T, exact[1], atol=1e-3)


def test_it_goes_where_the_landmarks_go():
    follower, landmarks = carried()
    moved = landmarks.clone()
    moved[48:] += torch.tensor([0.12, 0.06])
    whence = torch.cat([pixel_centers(128).permute(2, 0, 1), torch.zeros(3, 128, 128)])  # read, it says from where
    bent = follower.bend(moved)._replace(offsets=whence)
    off = bent.read(*moved[17:60].float().T.contiguous())[:2].T - landmarks[17:60]
    assert off.norm(dim=-1).max() < 0.05 and off[31:].mean(0).norm() < 0.02  # of the mouth, which moved by 0.13


def test_what_an_opened_mouth_shows_takes_no_color():
    follower, landmarks = carried()
    opened = landmarks.clone()
    opened[65:68, 1] += 0.08  # the lower lip's inner border
    opened[55:60, 1] += 0.08
    inside = (opened[62] + opened[66])[:, None] / 2
    lip = (opened[66] + opened[57])[:, None] / 2
    open_there, lip_there = (follower.bend(opened).read(*place.float())[2] for place in (inside, lip))
    closed_there = follower.bend(landmarks).read(*landmarks[62][:, None].float())[2]
    assert open_there.abs() < 0.2 * closed_there and lip_there > 0.5 * closed_there > 0.02
    assert follower.bend(landmarks).veil is None


def test_a_closed_eye_takes_no_color():
    _, landmarks = carried()
    closed = landmarks.clone()
    closed[[37, 38]] = closed[[41, 40]]
    weight = veil(landmarks, closed, 64)
    x, y = ((closed[36:48].reshape(2, 6, 2).mean(1) + 1) * 32).long().T
    assert weight[y[0], x[0]] < 0.1 and weight[y[1], x[1]] == 1


def test_landmarks_that_tear_move_nothing():
    follower, landmarks = carried()
    bent = follower.bend(landmarks.flip(0))
    assert torch.isfinite(bent.offsets).all() and bent.back.abs().max() < 1


# --- what is refused, and what is not needed


def test_errors_say_what_must_be():
    whole = replace(edit(), transforms=(FieldTransform(RasterField(4, 4), Crop(torch.eye(2, 3).double() * 50)),))
    with pytest.raises(ValueError, match="must be of an aligned face; got one of a whole picture"):
        VideoEditor(whole)
    with pytest.raises(TypeError, match="a prompt, which needs per_frame=True"):
        VideoEditor("a smiling face")
    with pytest.raises(ValueError, match="must not undo another"):
        VideoEditor(~edit())
    with pytest.raises(ValueError, match='whose="own" must go with an edit that has its photo'):
        VideoEditor(edit(photo=False), whose="own")
    with pytest.raises(ValueError, match="strength must be finite; got nan"):
        VideoEditor(edit(), strength=float("nan"))
    with pytest.raises(ValueError, match="at least one; got an empty list"):
        VideoEditor([])
    with pytest.raises(TypeError, match="frame must be uint8 or uint16; got float64"):
        VideoEditor(edit()).process(np.zeros((4, 4, 3)))


def test_the_predictor_is_not_needed():
    script = """
import sys
sys.modules["flowedit.predict.one_pass"] = None
import flowedit.video.editor
assert not any(name.startswith(("flowedit.predict", "flowedit.fit")) for name, m in sys.modules.items() if m)
"""
    done = run_fresh(script)
    assert (done.returncode, done.stderr) == (0, "")


def test_per_frame_predicts_in_each_frame():
    editor = VideoEditor("a smiling face", per_frame=True)
    shot, edited = run(editor, shots(still, 7))
    landmarks = editor.faces[0].landmarks
    change = np.abs(edited.astype(int) - shot.pixels).max(-1)
    x, y = landmarks[48:68].mean(0).int().tolist()
    assert change[y - 12 : y + 12, x - 15 : x + 15].max() > 20
    outside = square(editor, shot.pixels)
    assert np.array_equal(edited[outside], shot.pixels[outside])
