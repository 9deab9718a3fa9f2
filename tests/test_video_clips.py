"""Clips from file to file: what is kept to the bit, what is carried along, and what is said of files that are none."""

from __future__ import annotations

import os
import signal
import sys
from fractions import Fraction

import numpy as np
import pytest
from fresh import run_fresh
from moving import Idle, Painter, av, make_clip, picture, planes_of
from PIL import Image

from flowedit.video.animations import Animation, save_animation
from flowedit.video.clips import Clip
from flowedit.video.encode import Encoding
from flowedit.video.film import Span, edit_clip, sample_clip
from flowedit.video.frame import RasterFrame

LOSSLESS = Encoding(codec="ffv1")
INNER = (14, 12, 20, 27)  # of the whole frame: what a Painter changes


def changed(a, b):
    """The box of the samples of two planes that differ, None where none does."""
    places = np.argwhere(a != b)
    return None if not len(places) else (*places.min(0).tolist(), *(places.max(0) + 1).tolist())


def within(box, outer):
    return box[0] >= outer[0] and box[1] >= outer[1] and box[2] <= outer[2] and box[3] <= outer[3]


@pytest.mark.parametrize(
    "codec, form, height, width",
    [
        ("libx264", "yuv420p", 48, 64),
        ("libx264", "yuv422p", 48, 64),
        ("libx264", "yuv444p", 49, 65),
        ("libx264", "yuv420p10le", 48, 64),
        ("ffv1", "yuv420p", 49, 65),
        ("ffv1", "yuv422p12le", 49, 65),
        ("ffv1", "gray", 49, 65),
        ("ffv1", "bgr0", 48, 64),
    ],
)
def test_samples_that_the_edit_does_not_change_keep_their_bits(tmp_path, codec, form, height, width):
    source = make_clip(tmp_path / "a.mkv", [picture(k, height, width) for k in range(3)], codec=codec, form=form)
    result = edit_clip(source, tmp_path / "b.mkv", Painter(), encoding=LOSSLESS)
    (given, before), (kept, after) = planes_of(source), planes_of(tmp_path / "b.mkv")
    assert given == kept if codec == "ffv1" else given.layout == kept.layout
    assert (result.frames, result.edited, result.interrupted) == (3, 3, False)
    for (_, planes), (_, others) in zip(before, after, strict=True):
        for plane, other in zip(planes, others, strict=True):
            down, across = round(height / plane.shape[0]), round(width / plane.shape[1])
            box = INNER[0] // down, INNER[1] // across, -(-INNER[2] // down), -(-INNER[3] // across)
            assert plane.shape == other.shape and within(changed(plane, other), box)


def test_without_an_edit_every_sample_stays(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3)
    edit_clip(source, tmp_path / "b.mkv", Idle(), strength=0, encoding=LOSSLESS)
    for (_, planes), (_, others) in zip(planes_of(source)[1], planes_of(tmp_path / "b.mkv")[1], strict=True):
        assert all(np.array_equal(*pair) for pair in zip(planes, others, strict=True))


@pytest.mark.parametrize("colors", [(1, 1, 1, 1), (6, 1, 6, 6), (1, 2, 1, 13), (9, 1, 9, 14)])
@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le"])
def test_the_edit_shows_in_its_own_colors(tmp_path, colors, form):
    source = make_clip(tmp_path / "a.mkv", [np.full((48, 64, 3), (90, 120, 60), np.uint8)], form=form, colors=colors)
    edit_clip(source, tmp_path / "b.mkv", Painter(color=(200, 70, 110)), encoding=LOSSLESS)
    with Clip(tmp_path / "b.mkv") as clip:
        assert clip.facts.colors == colors
        rgb = next(clip.packets()).rgb
    deep = rgb.dtype == np.uint16
    assert deep == (form != "yuv420p")
    shown = rgb / 257 if deep else rgb.astype(float)
    assert abs(shown[16:18, 15:25] - (200, 70, 110)).max() < 3 and abs(shown[40:, 50:] - (90, 120, 60)).max() < 3


@pytest.mark.parametrize("degrees, quarters", [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_applied(tmp_path, degrees, quarters):
    source = make_clip(tmp_path / "a.mp4", 2, rotation=degrees, aspect=Fraction(4, 3))
    with Clip(source) as clip:
        frame = next(clip.packets())
    wanted = np.rot90(picture(), quarters)
    assert frame.rgb.shape == wanted.shape and abs(frame.rgb.astype(int) - wanted).mean() < 8
    painter = Painter(box=(4, 4, 20, 20), inner=(2, 2, 9, 9))
    with pytest.warns(UserWarning, match="left out: the pixels' shape"):
        edit_clip(source, tmp_path / "b.mkv", painter, encoding=LOSSLESS)
    _, after = planes_of(tmp_path / "b.mkv")
    edit_clip(source, tmp_path / "b.mp4", painter)
    facts, _ = planes_of(tmp_path / "b.mp4")
    assert (facts.height, facts.width) == wanted.shape[:2]
    assert facts.pixel_aspect == (Fraction(3, 4) if quarters % 2 else Fraction(4, 3))
    assert within(changed(frame.planes[0], after[0][1][0]), (6, 6, 13, 13))
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_time_stamps_stay_where_the_rate_varies(tmp_path, suffix):
    stamps = [0, 40, 47, 120, 121, 300]
    source = make_clip(tmp_path / f"a{suffix}", 6, stamps=stamps)
    edit_clip(source, tmp_path / f"b{suffix}", Painter())
    with Clip(source) as before, Clip(tmp_path / f"b{suffix}") as after:
        pairs = [[frame.time for frame in clip.packets()] for clip in (before, after)]
    assert pairs[0] == pairs[1] == [stamp / 1000 for stamp in stamps]


def packets_of(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        held = [p for p in container.demux(stream) if p.size]
        return [(float(p.pts * p.time_base), bytes(p)) for p in held]


def test_sound_subtitles_and_tags_are_taken_along(tmp_path):
    tags = {"title": "a walk", "location": "+48.1+008.1/"}
    source = make_clip(tmp_path / "a.mkv", 25, sound="aac", text="a caption", tags=tags)
    edit_clip(source, tmp_path / "b.mkv", Painter(), note={"prompt": "smile"})
    for kind in ("audio", "subtitle"):
        before, after = packets_of(source, kind), packets_of(tmp_path / "b.mkv", kind)
        assert len(before) == (46 + 1 if kind == "audio" else 1) or len(before) > 10
        assert [data for _, data in before] == [data for _, data in after]
        assert [time for time, _ in before] == pytest.approx([time for time, _ in after], abs=2e-3)
    with av.open(str(tmp_path / "b.mkv")) as container:
        kept = {name.lower(): value for name, value in container.metadata.items()}
    assert (
        kept["title"] == "a walk" and kept["location"] == tags["location"] and kept["comment"] == '{"prompt": "smile"}'
    )
    edit_clip(source, tmp_path / "c.mkv", Painter(), strip_location=True)
    with av.open(str(tmp_path / "c.mkv")) as container:
        assert "location" not in {name.lower() for name in container.metadata}


def test_sound_that_does_not_fit_is_refused_and_subtitles_are_left_out(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 5, sound="aac", text="a caption")
    with pytest.raises(ValueError, match=r"a.mkv has audio in aac, which a .webm file cannot hold"):
        edit_clip(source, tmp_path / "b.webm", Painter())
    with pytest.warns(UserWarning, match="left out: subtitle in srt, which a .mp4 file cannot hold"):
        edit_clip(source, tmp_path / "b.mp4", Painter())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "b.mp4"]


def test_odd_sizes_are_padded_and_not_scaled(tmp_path):
    source = make_clip(tmp_path / "a.mkv", [picture(k, 49, 65) for k in range(2)], codec="ffv1")
    edit_clip(source, tmp_path / "b.mp4", Painter(), encoding=Encoding(crf=0))
    (_, before), (facts, after) = planes_of(source), planes_of(tmp_path / "b.mp4")
    assert (facts.height, facts.width) == (50, 66)
    for plane, other in zip(before[0][1], after[0][1], strict=True):
        height, width = plane.shape
        inner = INNER if height == 49 else (7, 6, 10, 14)
        assert within(changed(plane, other[:height, :width]), inner)
        assert np.array_equal(other[:, width:], other[:, width - 1 : width].repeat(other.shape[1] - width, 1))


@pytest.mark.parametrize("suffix, codec", [(".mp4", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9")])
def test_each_ending_has_its_codec(tmp_path, suffix, codec):
    edit_clip(make_clip(tmp_path / "a.mp4", 3), tmp_path / f"b{suffix}", Painter())
    with Clip(tmp_path / f"b{suffix}") as clip:
        assert clip.facts.codec == codec and clip.facts.layout.name == "yuv420p"
        assert abs(next(clip.packets()).rgb[16:18, 15:24].astype(int) - (250, 20, 20)).mean() < 25


def test_ten_bits_stay_ten_and_lossless_stays_lossless(tmp_path):
    deep = make_clip(tmp_path / "a.mp4", 2, form="yuv420p10le")
    edit_clip(deep, tmp_path / "b.mp4", Painter())
    assert planes_of(tmp_path / "b.mp4")[0].layout.name == "yuv420p10le"
    edit_clip(make_clip(tmp_path / "c.mkv", 2, codec="ffv1"), tmp_path / "d.mkv", Painter())
    assert planes_of(tmp_path / "d.mkv")[0].codec == "ffv1"
    with pytest.raises(ValueError, match=r"a .mp4 file must be in h264 or hevc or vp9; got ffv1"):
        edit_clip(deep, tmp_path / "e.mp4", Painter(), encoding=LOSSLESS)


def make_animation(path, loop=3, clear=True):
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:10] = 0
    frames = [
        RasterFrame(0.0, seconds, picture(k), alpha if clear else None)
        for k, seconds in enumerate((0.1, 0.05, 0.2, 0.07))
    ]
    return save_animation(path, frames, loop=loop)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_an_animation_keeps_its_timing_loop_and_transparency(tmp_path, suffix):
    for loop in (3, 0, None):
        source = make_animation(tmp_path / f"a{suffix}", loop)
        result = edit_clip(source, tmp_path / f"b{suffix}", Painter())
        with Animation(source) as before, Animation(tmp_path / f"b{suffix}") as after:
            assert before.loop == after.loop == loop and after.count == 4
            pairs = list(zip(before.frames(), after.frames(), strict=True))
        for a, b in pairs:
            assert a.duration == b.duration and np.array_equal(a.alpha, b.alpha)
            assert abs(b.rgb[16:18, 15:24].astype(int) - (250, 20, 20)).mean() < 30
        assert [round(b.time, 3) for _, b in pairs] == [0, 0.1, 0.15, 0.35] and result.duration == pytest.approx(0.42)
    if suffix == ".apng":
        assert all(np.array_equal(a.rgb[32:], b.rgb[32:]) for a, b in pairs)


def test_from_animation_to_video_and_back(tmp_path):
    source = make_animation(tmp_path / "a.gif", clear=False)
    edit_clip(source, tmp_path / "b.mp4", Painter())
    with Clip(tmp_path / "b.mp4") as clip:
        frames = list(clip.packets())
    assert [round(frame.time, 3) for frame in frames] == [0, 0.1, 0.15, 0.35]
    assert abs(frames[1].rgb.astype(int)[30:, 30:] - picture(1)[30:, 30:]).mean() < 10
    edit_clip(make_clip(tmp_path / "c.mp4", 6, stamps=[0, 100, 105, 200, 300, 400]), tmp_path / "d.gif", Painter())
    with Animation(tmp_path / "d.gif") as movie:
        assert movie.loop == 0
        assert [round(1000 * frame.duration) for frame in movie.frames()][:4] == [100, 100, 100, 100]


def test_a_span_comes_and_goes():
    span = Span(1.0, 3.0, 0.5)
    assert [span.amount(t) for t in (0, 1, 1.25, 1.5, 2.5, 2.75, 3, 9)] == [0, 0, 0.5, 1, 1, 0.5, 0, 0]
    assert Span(None, 3.0).amount(0) == Span(1.0, None).amount(9) == Span().amount(0) == 1
    assert [Span(1.0, 2.0, 0).amount(t) for t in (0.9, 1, 1.9, 2)] == [0, 1, 1, 0]
    for wrong in ({"start": -1}, {"end": float("nan")}, {"fade": float("inf")}, {"start": 2.0, "end": 2.0}):
        with pytest.raises(ValueError, match="must be"):
            Span(**wrong)


def test_the_editor_is_asked_only_while_the_edit_is_on(tmp_path):
    painter = Painter()
    span = Span(0.1, 0.3, 0.08)
    result = edit_clip(make_clip(tmp_path / "a.mp4", 10), tmp_path / "b.mp4", painter, span=span, strength=0.5)
    assert [(round(t, 2), round(s, 3)) for t, s in painter.calls] == [
        (0.12, 0.125),
        (0.16, 0.375),
        (0.2, 0.5),
        (0.24, 0.375),
        (0.28, 0.125),
    ]
    assert (result.frames, result.edited) == (10, 5)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.apng"])
def test_samples_come_from_all_over_the_span(tmp_path, name):
    path = tmp_path / name
    if name == "a.apng":
        save_animation(path, [RasterFrame(0.0, 0.04, picture(k)) for k in range(50)])
    else:
        make_clip(path, 50, options={"g": "10"})
    times = [time for _, time in sample_clip(path, Span(), most=10)]
    assert 8 <= len(times) <= 10 and times == sorted(set(times)) and times[0] < 0.3 and times[-1] > 1.6
    times = [time for _, time in sample_clip(path, Span(0.8, 1.2), most=4)]
    assert times and min(times) > 0.7 and max(times) < 1.25


def refused(tmp_path, source, words, kind=ValueError, out="out.mp4", editor=None):
    """The line that refuses a clip; nothing was written."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(kind, match=words) as error:
        edit_clip(source, tmp_path / out, editor or Painter())
    assert "\n" not in str(error.value) and str(source) in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ".webp", ".apng"])
def test_a_file_that_is_cut_off(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    make_clip(path, 40, options={"g": "5"}) if suffix in (".mp4", ".mkv") else make_animation(path)
    whole = path.read_bytes()
    for share in (0.02, 0.5, 0.8):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(tmp_path, path, "cannot read .* as|must be whole|must have a video stream")


def test_a_video_whose_head_is_whole_and_whose_end_is_lost(tmp_path):
    edit_clip(make_clip(tmp_path / "a.mp4", 40), tmp_path / "b.mp4", Painter())  # its index comes first
    whole = (tmp_path / "b.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: int(0.7 * len(whole))])
    refused(tmp_path, tmp_path / "b.mp4", "cannot read .* as a video|must be whole|must be undamaged")


def test_what_is_no_clip(tmp_path):
    (tmp_path / "text.mp4").write_text("no clip at all")
    refused(tmp_path, tmp_path / "text.mp4", "cannot read .*text.mp4 as a video: Invalid data")
    (tmp_path / "text.gif").write_text("no clip at all")
    refused(tmp_path, tmp_path / "text.gif", "cannot read .*text.gif as an animation")
    refused(tmp_path, tmp_path / "none.mp4", "cannot read .*none.mp4: no such file", FileNotFoundError)
    (tmp_path / "empty.mkv").write_bytes(b"")
    refused(tmp_path, tmp_path / "empty.mkv", "cannot read .* as a video")
    with av.open(str(tmp_path / "sound.m4a"), "w", format="ipod") as out:
        audio = out.add_stream("aac", rate=48000)
        block = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        block.sample_rate = 48000
        out.mux(audio.encode(block))
        out.mux(audio.encode())
    refused(tmp_path, tmp_path / "sound.m4a", "must have a video stream; got audio alone")
    make_clip(tmp_path / "zero.mkv", 0)
    refused(tmp_path, tmp_path / "zero.mkv", "must have at least one frame; got none")


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_one_frame_is_a_clip(tmp_path, name):
    make_clip(tmp_path / name, 1) if name == "a.mp4" else Image.fromarray(picture()).save(tmp_path / name)
    for out in ("b.mp4", "b.gif"):
        assert edit_clip(tmp_path / name, tmp_path / out, Painter()).frames == 1


def test_a_size_that_changes(tmp_path):
    large = make_clip(tmp_path / "a.ts", 5, muxer="mpegts").read_bytes()
    small = make_clip(tmp_path / "b.ts", [picture(k, 32, 48) for k in range(5)], muxer="mpegts").read_bytes()
    (tmp_path / "a.ts").write_bytes(large + small)
    refused(
        tmp_path, tmp_path / "a.ts", r"must keep one size and format; got 64 x 48 yuv420p, and 48 x 32 yuv420p from"
    )


def test_a_clip_without_a_face(tmp_path):
    for name, out in (("a.mp4", "b.mp4"), ("a.mp4", "b.gif")):
        make_clip(tmp_path / name, 3)
        words = "must show a face while the edit is on; got none in 3 frames"
        refused(tmp_path, tmp_path / name, words, out=out, editor=Idle())


def test_where_nothing_can_be_written(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 2)
    for out, kind, words in [
        (tmp_path / "none" / "b.mp4", OSError, "does not exist"),
        (source, FileExistsError, "must not replace a file that is read"),
        (tmp_path / "b.avi", ValueError, "a clip must end in one of .gif"),
    ]:
        with pytest.raises(kind, match=words):
            edit_clip(source, out, Painter())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4"]


def test_without_pyav_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    source = make_clip(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RuntimeError, match="must be read and written with PyAV: pip install av"):
        edit_clip(source, tmp_path / "b.gif", Painter())
    make_animation(tmp_path / "a.gif")
    assert edit_clip(tmp_path / "a.gif", tmp_path / "b.gif", Painter()).frames == 4


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from moving import Painter, make_clip
import numpy as np
from flowedit.video.film import edit_clip
folder = Path({folder!r})
noise = [np.random.default_rng(k).integers(0, 256, (128, 128, 3), dtype=np.uint8) for k in range(8)]
make_clip(folder / "a.mkv", noise, options={{"crf": "1"}})
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
for name in {names!r}:
    try:
        edit_clip(folder / "a.mkv", folder / name, Painter())
    except OSError as error:
        print(error)
"""


def test_a_full_disk(tmp_path):
    """A limit on a file's size, at which a write fails as on a full disk, within FFmpeg too."""
    names = ["b.mp4", "b.mkv", "b.gif"]
    script = FULL.format(tests=os.path.dirname(__file__), folder=str(tmp_path), names=names)
    done = run_fresh(script)
    lines = [f"cannot write {tmp_path / name}: File too large" for name in names]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv"]


class Interrupted(Painter):
    """Sends Ctrl-C while some frames are edited."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def patches(self, frame, time=None, strength=None):
        found = super().patches(frame, time, strength)
        if len(self.calls) in self.at:
            signal.raise_signal(signal.SIGINT)
        return found


@pytest.fixture
def ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "b.gif"])
def test_ctrl_c_leaves_what_is_done(tmp_path, ctrl_c, name):
    source = make_clip(tmp_path / "a.mkv", 25, sound="aac")
    result = edit_clip(source, tmp_path / name, Interrupted({7}))
    assert (result.frames, result.interrupted) == (7, True) and result.duration == pytest.approx(0.28)
    if name == "b.gif":
        with Animation(tmp_path / name) as movie:
            assert len(list(movie.frames())) == 7
    else:
        assert len(planes_of(tmp_path / name)[1]) == 7


def test_a_second_ctrl_c_leaves_nothing(tmp_path, ctrl_c):
    source = make_clip(tmp_path / "a.mkv", 25)

    class Twice(Interrupted):
        def patches(self, frame, time=None, strength=None):
            if len(self.calls) == 3:
                signal.raise_signal(signal.SIGINT)
            return super().patches(frame, time, strength)

    with pytest.raises(KeyboardInterrupt):
        edit_clip(source, tmp_path / "b.mp4", Twice({4}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv"]
