"""A clip and a prompt: the edit is found once, on the clearest frame, and carried through all the others."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flowedit.checks import as_float, describe, require
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.face.detect import find_faces
from flowedit.photo.files import check_outputs
from flowedit.photo.metadata import fit_note
from flowedit.photo.photo import Photo
from flowedit.task.prepare import check_config
from flowedit.video.animations import ANIMATIONS, check_moving
from flowedit.video.clearest import CLIP_SHARE, clearest
from flowedit.video.editor import VideoEditor
from flowedit.video.encode import VIDEOS, Encoding
from flowedit.video.film import ClipResult, Span, edit_clip, sample_clip

if TYPE_CHECKING:
    from flowedit.guide.encoder import Encoder
    from flowedit.predict.one_pass import AnyPredictor

Wish = str | Mapping[str, float] | Edit


def edit_video(
    source: str | Path,
    edit: Wish | Sequence[Wish],
    out: str | Path | None = None,
    *,
    face: int | Literal["largest", "all"] | None = None,
    strength: float | None = None,
    start: float | None = None,
    end: float | None = None,
    fade: float = 0.5,
    fast: bool = False,
    per_frame: bool = False,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    predictor: AnyPredictor | None = None,
    encoding: Encoding | None = None,
    strip_location: bool = False,
    progress: bool | None = None,
) -> ClipResult:
    """Edit the faces of a clip into a new file.

    The edit is found on the frame that shows the face best, or carried to it, and follows the face from there to the
    clip's ends: nothing is generated frame by frame, so nothing flickers. Outside the square around the face the
    decoded frames stay as they are, bit for bit, until they are encoded; sound, subtitles and time stamps are copied.

    Args:
        source: a video of any kind that PyAV reads, or a .gif, .webp, .apng or .png.
        edit: a prompt, as for `optimize`, or an edit, found on any photo. A list has one for each person, from left to
            right in the clearest frame that shows them all; each is known by the looks from there on.
        out: where to; the ending says which kind: .mp4, .m4v, .mov, .mkv or .webm, .gif, .webp or .apng. None is a name
            made of the source's, in the current folder (`name_output`).
        face: who gets it: the person of the "largest" face, one by an index from the left in that frame, from 0, or
            "all"; None is the config's. A list goes without.
        strength: 0 is the clip, 1 the edit as optimized; None is what the edit chose for itself.
        start: seconds, when the edit begins; None is with the clip.
        end: seconds, when it has gone; None is with the clip.
        fade: seconds that it takes to come and to go, at `start` and `end`.
        fast: predict the edit (`predict`) instead of searching for it (`optimize`).
        per_frame: predict it anew in each frame, for everyone, and smooth it over time, instead of carrying it: slow.
        config: as for `optimize`; four fifths of its identity budget hold on the clearest frame, since other frames
            differ. It chooses the strength of an edit that is carried to the clip too.
        encoder: as for `optimize`.
        predictor: as for `predict`.
        encoding: codec and quality of a video.
        strip_location: leave out tags that say where the clip was taken.
        progress: show a bar; None shows it on a terminal only.

    Returns:
        What was written, with the edit as it was found on the clearest frame. A first Ctrl-C or SIGTERM while frames
        are edited ends the file there and says so in `interrupted`; at a second one nothing is kept.

    Raises:
        TypeError, ValueError: as `optimize`; the source is no whole clip, or shows no face; the sound cannot go into
            such a file.
        OSError: a file cannot be read or written.
        RuntimeError: PyAV is not installed, where a video is read or written; as `optimize`.
        KeyboardInterrupt: Ctrl-C before the first frame was edited.
    """
    span, source = Span(start, end, fade), Path(source)
    out = name_output(source) if out is None else Path(out)
    check_moving(out)
    check_outputs({"out": [out]}, [source])
    require(strength is None or abs(as_float(strength)) < float("inf"), f"strength must be finite; got {strength!r}")
    config = check_config(config)
    config = replace(config, identity=config.identity and CLIP_SHARE * config.identity)
    wishes = [edit] if isinstance(edit, (str, Mapping, Edit)) else list(edit)
    require(len(wishes) > 0, "edit must be at least one prompt or edit; got none")
    require(len(wishes) == 1 or face is None, f"face must go with one edit; got {describe(face)} and {len(wishes)}")
    require(len(wishes) == 1 or not per_frame, f"per_frame must go with one edit; got {len(wishes)}")
    face = config.face if face is None else face
    everyone = len(wishes) == 1 and face == "all"
    photo, largest, alone = _clearest(source, span, len(wishes) - 1 if len(wishes) > 1 else face)
    faces = range(len(wishes)) if len(wishes) > 1 else [largest if face in ("largest", "all") else int(face)]
    how: dict[str, Any] = {"encoder": encoder}
    how |= {"predictor": predictor} if fast or per_frame else {"progress": progress}
    found = [
        _find(photo, wish, replace(config, face=which), fast=fast or per_frame, how=how)
        for wish, which in zip(wishes, faces, strict=True)
    ]
    if strength is not None:
        found = [replace(each, strength=as_float(strength), strength_reason="as asked") for each in found]
    whole = functools.reduce(operator.add, found)
    identity = config.identity if everyone else None
    editor = VideoEditor(whole, whose="all" if everyone or alone else "own", identity=identity, per_frame=per_frame)
    note = fit_note(whole.provenance() | {"strength": whole.strength}, ("made_of", "judge", "similarity"))
    result = edit_clip(
        source,
        out,
        editor,
        span=span,
        encoding=encoding,
        note=note,
        strip_location=strip_location,
        progress=progress,
    )
    return replace(result, edit=whole)


def name_output(source: Path) -> Path:
    """Return CLIP_edited in the current folder, with the clip's own ending where such a file can be written."""
    suffix = source.suffix.lower()
    return Path(f"{source.stem}_edited{suffix if suffix in (*ANIMATIONS, *VIDEOS) else '.mp4'}")


def _find(photo: Photo, wish: Wish, config: Config, *, fast: bool, how: dict[str, Any]) -> Edit:
    """Find an edit on the clearest frame, or carry one there, at the strength that the config's budget allows."""
    from flowedit.fit.loop import optimize
    from flowedit.predict.one_pass import predict

    if isinstance(wish, Edit):
        carried = wish.apply(photo, face=config.face)
        same = carried.origin == wish.origin
        return carried if same or config.identity is None else carried.within(identity=config.identity)
    edit = (predict if fast else optimize)(photo, wish, config=config, **how)
    if edit.stopped == "interrupted":  # an edit that is half found is not worth a clip
        raise KeyboardInterrupt
    return edit


def _clearest(source: Path, span: Span, wanted: int | str) -> tuple[Photo, int, bool]:
    """Find the frame to find an edit on.

    Args:
        source: the clip.
        span: when the edit is on.
        wanted: "largest" or "all", or the index, from the left, of a face that the frame must show.

    Returns:
        The frame; the index, from the left, of the face that it is the clearest of; whether nobody else was seen.

    Raises:
        ValueError: no frame shows so many faces.
    """
    least = max(1, wanted + 1 if isinstance(wanted, int) else 1)
    shown = sample_clip(source, span)
    people = clearest(each for each in shown if least == 1 or len(find_faces(Photo(each[0]))) >= least)
    faces = "a face" if least == 1 else f"{least} faces at once"
    require(len(people) > 0, f"{source} must show {faces} while the edit is on; got none in the frames looked at")
    best = max(people, key=lambda person: person.crop.side_px if least == 1 else person.score)
    photo = Photo(best.frame)
    middle = best.crop.matrix[:, 2]
    away = [float((face.landmarks.mean(0) - middle).norm()) for face in find_faces(photo, turned=True)]
    return photo, away.index(min(away)) if away else 0, len(people) == 1
