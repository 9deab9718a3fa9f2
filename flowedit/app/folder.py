"""The command `batch`: a folder of any size, by several workers, in runs that go on from each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

import flowedit
from flowedit.app.batch import Files, Job, Record, Target, plan, report
from flowedit.app.console import complain, say
from flowedit.app.ledger import Ledger, check_ledger, open_ledger
from flowedit.app.options import Editing, Pictures, parse_prompts
from flowedit.app.paths import WrongUsage, find_photos
from flowedit.app.workers import count_cores, run_in_processes
from flowedit.checks import whole_number
from flowedit.photo.files import check_outputs

if TYPE_CHECKING:
    from flowedit.edit import Edit

MOST_WORKERS = 4096


@dataclass(frozen=True)
class BatchCommand(Editing):
    """Edit many photos in several processes, and go on where a run ended: flowedit batch in/ out/ smiling"""

    photos: Annotated[Positional[Path], arg(metavar="IN")]
    """A folder or a quoted glob; its photos stay as they are."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder for the pictures, PHOTO_edited.png each, and for the ledger."""
    prompt: Annotated[Positional[str], arg(metavar="PROMPT")]
    """TEXT or TEXT=WEIGHT."""
    workers: Annotated[int | None, arg(metavar="INT")] = None
    """How many processes edit at once. Default: as many as there are cores, by --threads."""
    threads: int = 1
    """Threads of each worker; the shipped encoder gains nothing by more than one."""
    ray: Annotated[str | None, arg(metavar="ADDRESS")] = None
    """Edit on Ray: local, auto for the cluster of this machine, or HOST:PORT. All machines must see IN and OUT."""
    gpus: float = 0.0
    """With --ray, the share of a GPU that each worker has."""
    ledger: Annotated[Path | None, arg(metavar="PATH")] = None
    """Where each photo gets its line: done or failed, with reason and seconds. Default: OUT/ledger.jsonl."""
    ending: Literal[".png", ".jpg", ".webp", ".tif"] = ".png"
    """Of the pictures' names, which is their format."""
    pictures: Annotated[Pictures, arg(name="")] = field(default_factory=Pictures)

    @property
    def prompts(self) -> str | dict[str, float]:
        """The prompts with their weights."""
        return parse_prompts([self.prompt, *self.also])

    @property
    def bar(self) -> bool | None:
        """No bar: workers share the terminal."""
        return False

    def targets(self) -> list[Target]:
        """Return the kinds of files to write."""
        return self.pictures.targets_in(self.out, f"_edited{self.ending}")

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Write the picture, and the rest as asked."""
        return self.pictures.write(edits, files)

    def run(self) -> int:
        """Edit each photo that the ledger does not say is done."""
        inputs = self._check()
        quiet = self.pictures.quiet
        photos = find_photos([str(self.photos)])
        for remark in () if quiet else photos.remarks:
            complain(remark)
        jobs = plan(self, photos.paths, True, inputs=inputs)
        path = self.ledger or self.out / "ledger.jsonl"
        check_outputs({"--ledger": [path]}, [*photos.paths, *inputs], make_folders=True)
        with open_ledger(path, self.digest(inputs)) as ledger:
            left = [job for job in jobs if not ledger.is_done(job)]
            if not quiet and len(left) < len(jobs):
                say(f"{len(jobs) - len(left)} of {len(jobs)} photos are done already, by {path}")
            if not left:
                return 0
            return report(_noted(left, self._records(left), ledger), len(left), quiet)

    def _check(self) -> list[Path]:
        parse_prompts([self.prompt, *self.also])
        if self.workers is not None:
            whole_number("--workers", self.workers, 1, MOST_WORKERS)
        whole_number("--threads", self.threads, 1, MOST_WORKERS)
        if self.gpus and self.ray is None:
            raise WrongUsage("--gpus must go with --ray; got no --ray")
        if self.ledger is not None:
            check_ledger(self.ledger)
        return self.check()

    def _records(self, jobs: Sequence[Job]) -> Iterator[Record]:
        if self.ray is not None:
            from flowedit.app.cluster import run_on_ray

            return run_on_ray(jobs, self.ray, workers=self.workers, threads=self.threads, gpus=self.gpus)
        workers = self.workers or max(1, count_cores() // self.threads)
        return run_in_processes(jobs, workers, self.threads)

    def digest(self, inputs: Sequence[Path]) -> str:
        """Return a digest of all that an output depends on beside its photo: the version among it, and files."""
        options = replace(self, photos=Path(), out=Path(), workers=None, threads=1, ray=None, gpus=0.0, ledger=None)
        parts: dict[str, Any] = asdict(replace(options, settings=None, config=flowedit.Config()))
        parts["config"] = self.config.to_dict()
        parts["pictures"] = asdict(replace(self.pictures, quiet=False, save_edit=None, plot=None, sheet=None))
        parts["version"] = flowedit.__version__
        files = [path for path in inputs if path != self.settings]  # whose settings are in the config
        parts["files"] = [[str(path), (state := path.stat()).st_size, state.st_mtime_ns] for path in files]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _noted(jobs: Sequence[Job], records: Iterator[Record], ledger: Ledger) -> Iterator[Record]:
    """Pass records on, once each is in the ledger and what it warns of is told for the first time."""
    by_photo = {job.photo: job for job in jobs}
    told: set[str] = set()
    for record in records:
        ledger.add(by_photo[record.photo], record)
        for message in record.messages:
            if message not in told:
                told.add(message)
                complain(f"warning: {record.photo}: {message}")
        yield record
