"""The command `remake`: an edit made again from what its file says, and compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

import flowedit
from flowedit.app.batch import Files, Target, Verb, run_all
from flowedit.app.options import Output, config_files, predictor_files, show_progress
from flowedit.checks import require, warn

if TYPE_CHECKING:
    from torch import Tensor

    from flowedit.config import Config
    from flowedit.edit import Edit
    from flowedit.transform.transforms import FieldTransform


@dataclass(frozen=True)
class RemakeCommand(Verb):
    """Make an edit again from what its file says: flowedit remake smile.flowedit face.jpg"""

    edit: Annotated[Positional[Path], arg(metavar="EDIT")]
    """File made by --save-edit."""
    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    """The photo it was made on."""
    encoder: Annotated[str | None, arg(metavar="NAME")] = None
    """The encoder that made it, where its file or folder is not found by the name that the edit has."""
    predictor: Annotated[str | None, arg(metavar="PATH")] = None
    """The trained network that predicted it or its start, where that is not the shipped one."""
    files: Annotated[tuple[Path, ...], arg(metavar="PATH")] = ()
    """The pictures, the corpus and the upscaler that it was made with, by the names that the edit has; else they lie
    beside PHOTO."""
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)

    def targets(self) -> list[Target]:
        """Return the kinds of files to write."""
        return self.output.targets()

    def make(self, photo: Path) -> list[Edit]:
        """Make it with the file's prompts, settings, encoder, predictor and threads; warn of what is not the same."""
        import torch

        from flowedit.photo.photo import load
        from flowedit.predict.one_pass import predict_again
        from flowedit.task.prepare import resolve_encoder
        from flowedit.task.threads import spare_busy_cores

        original = flowedit.load(self.edit)
        facts = original.facts
        config, changed = find_files(original, self.files, photo.parent)
        encoder = resolve_encoder(self.encoder or facts["encoder"], config)
        digest, picture = getattr(encoder, "digest", None), load(photo)
        predictor = None if facts.predictor is None else flowedit.load_predictor(self.predictor or facts.predictor)
        versions = {"flowedit": flowedit.__version__, "torch": torch.__version__}
        pairs = (
            ("photo", facts["photo_sha256"], picture.sha256),
            ("encoder", facts["encoder_sha256"] or digest, digest),
            ("predictor", facts.predictor_sha256, None if predictor is None else predictor.sha256),
            ("versions", facts["versions"], versions),
            *changed,
        )
        others = [f"{name} (then {then}, now {now})" for name, then, now in pairs if then != now]
        how: dict[str, Any] = {"config": config, "encoder": encoder}
        with spare_busy_cores(facts["threads"]):
            if original.stopped == "predicted":
                edit = predict_again(picture, original.prompts, facts, predictor=predictor, **how)
            else:
                shown = show_progress(self.output.quiet)
                edit = flowedit.optimize(picture, original.prompts, start=predictor, progress=shown, **how)
        if not have_same_fields(original, edit):
            reason = f"another {' and '.join(others)}" if others else "other terms, starts, devices or an interrupt"
            warn(f"the edit is not the one in {self.edit}, for it has {reason}")
        return [edit]

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Write the picture, and the rest as asked."""
        return self.output.write(edits, files, self.output.overwrite)

    def run(self) -> int:
        """Make it again, and write its picture."""
        from flowedit.predict.weights import SHIPPED

        edit = flowedit.load(self.edit)
        require(
            edit.config is not None,
            f"{self.edit} must hold the settings of one edit; got none: made of other edits, or by an older version",
        )
        name = edit.facts["encoder"] or "@"
        require(
            self.encoder is not None or "@" not in name,  # where a digest takes the place of a path
            f"--encoder must say where the encoder that made the edit is, {name}; got none",
        )
        network = self.predictor or edit.facts.predictor
        require(
            network in (None, SHIPPED) or self.predictor is not None,
            f"--predictor must say where the network that predicted the edit is, {network}; got none",
        )
        config, _ = find_files(edit, self.files, self.photo.parent)
        return run_all(
            self,
            [str(self.photo)],
            inputs=[self.edit, *config_files(config, self.encoder or name), *predictor_files(network)],
            overwrite=self.output.overwrite,
            quiet=self.output.quiet,
        )


def find_files(edit: Edit, files: Sequence[Path], folder: Path) -> tuple[Config, list[tuple[str, str | None, str]]]:
    """Find the pictures and other files that an edit was made with, of which its file has names and digests.

    Args:
        edit: as loaded, with settings.
        files: where to look first, by name; of pictures with one name, that with the digest is taken.
        folder: where to look then.

    Returns:
        The settings with the paths found, and of each file its name, its digest in the edit, and its own; an edit file
        of an older version has none.

    Raises:
        ValueError: a file is not there, or cannot be read.
    """
    from flowedit.guide.checkpoint import file_digest
    from flowedit.guide.corpus import list_corpora, read_corpus
    from flowedit.photo.photo import load

    config, digests, found = edit.config, iter(edit.facts.files or ()), list[tuple[str, str | None, str]]()
    assert config is not None  # for the type checker

    def places(name: str) -> list[str]:
        near = [path for path in files if path.name == Path(name).name]
        return [str(path) for path in (*near, folder / name, Path(name)) if path.is_file()]

    def locate(name: str) -> list[str]:
        paths = places(name)
        require(bool(paths), f"--files must have {name}, which the edit was made with; got none, nor is it in {folder}")
        return paths

    def picture(name: str) -> str:
        digest, paths = next(digests, (name, None))[1], locate(name)
        now = [load(path).sha256 for path in paths]
        index = now.index(digest) if digest in now else 0
        found.append((name, digest, now[index]))
        return paths[index]

    mask = config.mask and Path(picture(str(config.mask)))
    protect = tuple(name if name in config.protected_regions else picture(name) for name in config.protect)
    corpus, shipped = config.corpus, list_corpora()
    if corpus is not None and edit.facts.corpus is not None:  # else it was not read
        parts = [corpus] if places(corpus) else [part.strip() for part in corpus.split(",")]
        if not set(parts) <= set(shipped):
            path = ",".join(part if part in shipped else locate(part)[0] for part in parts)
            found.append((corpus, next(digests, (corpus, None))[1], read_corpus(path).sha256))
            corpus = path
    upscaler = None
    if config.upscaler is not None and edit.facts.upscaler is not None:  # else no face was small enough for it
        upscaler = Path(locate(str(config.upscaler))[0])
        found.append((config.upscaler.name, edit.facts.upscaler_sha256, file_digest(upscaler)))
    return replace(config, mask=mask, protect=protect, corpus=corpus, upscaler=upscaler), found


def have_same_fields(one: Edit, other: Edit) -> bool:
    """Return whether the transforms of two edits have the same parameters, bit for bit."""
    import torch

    from flowedit.transform.transforms import leaves

    def parameters(leaf: FieldTransform) -> dict[str, Tensor]:
        modules = {"field": leaf.field, "part_tint": leaf.part_tint, "retouch": leaf.retouch}
        states = {kind: module.state_dict() for kind, module in modules.items() if module is not None}
        return {f"{kind}.{name}": value for kind, state in states.items() for name, value in state.items()}

    pairs = [[parameters(leaf) for leaf in leaves(edit.transforms)] for edit in (one, other)]
    return len(pairs[0]) == len(pairs[1]) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(*pairs, strict=True)
    )
