"""The command `remake`: an edit made again from what its file says, and compared with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

import flowedit
from flowedit.app.batch import Files, Target, Verb, run_all
from flowedit.app.options import Output, config_files, predictor_files, show_progress
from flowedit.checks import require, warn

if TYPE_CHECKING:
    from flowedit.edit import Edit


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
        facts, config = original.facts, original.config
        assert config is not None  # run asked
        encoder = resolve_encoder(self.encoder or facts["encoder"], config)
        digest, picture = getattr(encoder, "digest", None), load(photo)
        predictor = None if facts.predictor is None else flowedit.load_predictor(self.predictor or facts.predictor)
        versions = {"flowedit": flowedit.__version__, "torch": torch.__version__}
        pairs = (
            ("photo", facts.get("photo_sha256"), picture.sha256),
            ("encoder", facts.get("encoder_sha256", digest), digest),
            ("predictor", facts.predictor_sha256, None if predictor is None else predictor.sha256),
            ("versions", facts.get("versions"), versions),
        )
        others = [f"{name} (then {then}, now {now})" for name, then, now in pairs if then != now]
        how: dict[str, Any] = {"config": config, "encoder": encoder}
        with spare_busy_cores(facts.get("threads")):
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
        return self.output.write(edits, files)

    def run(self) -> int:
        """Make it again, and write its picture."""
        from flowedit.predict.weights import SHIPPED

        edit = flowedit.load(self.edit)
        require(
            edit.config is not None,
            f"{self.edit} must hold the settings of one edit; got none: made of other edits, or by an older version",
        )
        assert edit.config is not None  # for the type checker
        name = edit.facts["encoder"]
        require(
            self.encoder is not None or "@" not in name,  # where a digest takes the place of a path
            f"--encoder must say where the encoder that made the edit is, {name}; got none",
        )
        network = self.predictor or edit.facts.predictor
        require(
            network in (None, SHIPPED) or self.predictor is not None,
            f"--predictor must say where the network that predicted the edit is, {network}; got none",
        )
        return run_all(
            self,
            [str(self.photo)],
            inputs=[self.edit, *config_files(edit.config, self.encoder or name), *predictor_files(network)],
            overwrite=self.output.overwrite,
            quiet=self.output.quiet,
        )


def have_same_fields(one: Edit, other: Edit) -> bool:
    """Return whether the transforms of two edits have the same parameters, bit for bit."""
    import torch

    from flowedit.transform.transforms import leaves

    pairs = [
        [
            {**leaf.field.state_dict(), **({} if leaf.part_tint is None else leaf.part_tint.state_dict())}
            for leaf in leaves(edit.transforms)
        ]
        for edit in (one, other)
    ]
    return len(pairs[0]) == len(pairs[1]) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in zip(*pairs, strict=True)
    )
