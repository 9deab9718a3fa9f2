"""Whether faces are followed truly, edits lie still on them and do what they should, and frames come in time.

    python -m benchmarks.video track FOLDER [--match neutral] [--people after:25]
    python -m benchmarks.video flicker FOLDER [--match neutral] [--people after:25] [--slow-people 1]
    python -m benchmarks.video speed FOLDER [--frames 2000]
    python -m benchmarks.video files FOLDER [--frames 2000]
    python -m benchmarks.video right CLIPS [--sheet sheet.png]

All but the last film portraits by a camera whose motion is known (`benchmarks.motion`); the last edits real clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import video_clips, video_files, video_truth
from benchmarks.common import environment, find_portraits, finite, write_report
from benchmarks.sheet import sheet_file
from benchmarks.table import align

FACE_PX, WIDE_FACE_PX = 256, 300  # of the detector's box; the second in the frames of 720 lines that are timed


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    lines = [list(rows[0])] + [[show(value) for value in row.values()] for row in rows]
    print("\n".join(align(lines, 1)))


def show(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.video", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("track", "flicker", "speed", "files", "right"))
    parser.add_argument("folder", type=Path, help="of portraits, or of clips for `right`")
    parser.add_argument("--match", default="neutral", help="what a portrait's file name contains")
    parser.add_argument("--people", default="after:25", help="all, first:N or after:N")
    parser.add_argument("--most", type=int, default=5, help="portraits that are filmed")
    motions = list(video_truth.motions(1))
    parser.add_argument("--motions", nargs="+", choices=motions, default=motions, help="for `track`")
    parser.add_argument("--slow-people", type=int, default=1, help="of them, for the ways that predict in each frame")
    parser.add_argument("--prompts", nargs="+", default=["a smiling face"])
    parser.add_argument("--frames", type=int, default=2000, help="that are edited for `speed` and `files`")
    parser.add_argument("--sheet", type=sheet_file, help="for `right`: a contact sheet of edited frames")
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.part == "right":
            clips = video_clips.find_clips(options.folder)
        else:
            portraits = find_portraits(options.folder, match=options.match, people=options.people)[: options.most]
    except ValueError as error:
        print(f"benchmarks.video: {error}", file=sys.stderr)
        return 2
    prompt = options.prompts[0]
    if options.part == "track":
        rows = video_truth.measure_tracking(portraits, FACE_PX, options.motions)
    elif options.part == "flicker":
        rows = video_truth.measure_flicker(portraits, FACE_PX, prompt, options.slow_people)
    elif options.part == "speed":
        rows = video_truth.measure_speed(portraits[0], WIDE_FACE_PX, prompt, options.frames)
    elif options.part == "files":
        rows = video_files.measure_files(portraits[0], WIDE_FACE_PX, prompt, options.frames)
    else:
        rows = video_clips.measure_right(clips, options.prompts, options.sheet)
    print_table(rows)
    if options.json:
        write_report(options.json, finite({"environment": environment(), "part": options.part, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
