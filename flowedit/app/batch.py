"""Photos in, files out: plan the jobs and check them all, run each, report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from flowedit.app.console import complain, complain_of, say
from flowedit.app.paths import WrongUsage, check_ending, find_photos, name_files, number
from flowedit.photo.files import check_outputs, same_file
from flowedit.photo.interrupts import delay_interrupts

if TYPE_CHECKING:
    from flowedit.edit import Edit

Files = Mapping[str, tuple[Path, ...]]  # by flag: one path, or one for each of several edits


@dataclass(frozen=True)
class Target:
    """Where one kind of file goes: the flag and its value, and the names that are made up or allowed."""

    flag: str
    path: Path | None
    suffix: str  # of a made-up name, as "_edited.png"
    endings: Sequence[str]
    optional: bool = True  # written only where the flag is given
    copies: int = 1


class Made(NamedTuple):
    """What came of one photo: its edits, at least one, or the error; and the seconds it took."""

    edits: list[Edit] | Exception
    seconds: float


class Verb(Protocol):
    """A command, as far as a job goes: picklable, and prints nothing."""

    def targets(self) -> list[Target]:
        """Return the kinds of files to write, the one that is always written first."""

    def make(self, photo: Path) -> list[Edit]:
        """Compute the edits of one photo, at least one."""

    def make_each(self, photos: Sequence[Path]) -> Iterator[Made]:
        """Compute the edits of each photo when it is asked for; a verb that gains by it takes several together."""
        for photo in photos:
            start = time.perf_counter()
            made: list[Edit] | Exception
            try:
                made = self.make(photo)
            except Exception as error:
                made = error
            yield Made(made, time.perf_counter() - start)
            del made  # not held while the next is computed

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Write them; return a text for each: where it went and at which strength."""


@dataclass(frozen=True)
class Job:
    """What is to be done with one photo."""

    verb: Verb
    photo: Path
    files: Files


@dataclass(frozen=True)
class Record:
    """What was done with one photo.

    Attributes:
        lines: results, a line each.
        error: why it failed; None where it did not.
        interrupted: what a Ctrl-C or SIGTERM left, in words; empty without one.
        seconds: that it took.
        messages: what was warned of, where another process did it.
    """

    photo: Path
    lines: tuple[str, ...] = ()
    error: Exception | None = None
    interrupted: str = ""
    seconds: float = 0.0
    messages: tuple[str, ...] = ()


def run_all(
    verb: Verb,
    words: Sequence[str],
    *,
    inputs: Sequence[Path] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> int:
    """Plan, run and report a command for each photo that `words` name; return the exit status."""
    photos = find_photos(words)
    for remark in () if quiet else photos.remarks:
        complain(remark)
    jobs = plan(verb, photos.paths, photos.several, inputs=inputs, overwrite=overwrite)
    return report(run_each(jobs), len(jobs), quiet)


def plan(
    verb: Verb,
    photos: Sequence[Path],
    several: bool,
    *,
    inputs: Sequence[Path] = (),
    overwrite: bool = False,
) -> list[Job]:
    """Make a job for each photo, once it is sure that no file it writes is one that is read, or written twice.

    Args:
        verb: what to do.
        photos: at least one.
        several: outputs go to folders, which are made, even if there is one photo only.
        inputs: files that are read beside the photos.
        overwrite: the first target of each photo may be the photo itself.

    Raises:
        WrongUsage: an output is an input, or another output, or of no format that it can have.
        OSError: it could not be written there.
    """
    jobs = [dict[str, tuple[Path, ...]]() for _ in photos]
    targets = verb.targets()
    for target in targets:
        if target.path is None and target.optional:
            continue
        for files, path in zip(jobs, name_files(target.path, photos, several, target.suffix), strict=True):
            check_ending(target.flag, path, target.endings)
            files[target.flag] = tuple(number(path, target.copies))
    outputs = {flag: [path for files in jobs for path in files[flag]] for flag in jobs[0]}
    read = list(inputs)
    for photo, files in zip(photos, jobs, strict=True):
        out = files[targets[0].flag][0]
        if not (overwrite and same_file(out, photo)):
            read.append(photo)
    try:
        check_outputs(outputs, read, make_folders=several)
    except FileExistsError as error:
        raise WrongUsage(str(error)) from error
    return [Job(verb, photo, files) for photo, files in zip(photos, jobs, strict=True)]


def run(job: Job) -> Record:
    """Do one job; see `run_each`."""
    return next(run_each([job]))


def run_each(jobs: Sequence[Job]) -> Iterator[Record]:
    """Do jobs of one verb, each when its record is asked for; an error is a value of its record.

    Raises:
        KeyboardInterrupt: before there was anything to keep, or a second time.
    """
    made = jobs[0].verb.make_each([job.photo for job in jobs])
    for job in jobs:
        yield _write(job, next(made))


def _write(job: Job, made: Made) -> Record:
    """Write what came of a job's photo."""
    edits, start = made.edits, time.perf_counter()
    if isinstance(edits, Exception):
        return Record(job.photo, error=edits, seconds=made.seconds)
    try:
        partial = edits[-1].stopped == "interrupted"
        if partial:  # a further Ctrl-C stops at once
            texts, late = job.verb.write(edits, job.files), False
        else:
            with delay_interrupts() as delay:
                texts = job.verb.write(edits, job.files)
            late = delay.interrupted
    except Exception as error:
        return Record(job.photo, error=error, seconds=made.seconds)
    seconds = made.seconds + time.perf_counter() - start
    texts[-1] += f", {seconds:.1f} s"
    first = next(iter(job.files.values()))[0]
    interrupted = f"{first} has the best edit so far" if partial else f"{first} is complete" if late else ""
    lines = tuple(f"{job.photo} -> {text}" for text in texts)
    return Record(job.photo, lines, interrupted=interrupted, seconds=seconds)


def report(records: Iterable[Record], total: int, quiet: bool) -> int:
    """Print each record as it comes, and how many there were of `total`; stop at an interrupted one.

    Returns:
        The exit status: 0, or 1 if anything failed or was interrupted.
    """
    done = failed = 0
    interrupted: str | None = None
    try:
        for record in records:
            if record.error is None:
                done += 1
                for line in () if quiet else record.lines:
                    say(line)
            else:
                failed += 1
                complain_of(record.error, f"{record.photo}: " if total > 1 else "")
            if record.interrupted:
                interrupted = f"interrupted: {record.interrupted}"
                break
    except KeyboardInterrupt:
        interrupted = "interrupted"
    summary = f"{done} of {total} photos edited, {failed} failed"
    if interrupted is not None:
        complain(f"{interrupted}; {summary}" if total > 1 else interrupted)
    elif total > 1 and not quiet:
        say(summary)
    return int(failed > 0 or interrupted is not None)
