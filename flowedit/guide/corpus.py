"""Lists of prompts about one subject, the one that a prompt belongs to, and the subspace that they span."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require, warn
from flowedit.guide.denials import denied
from flowedit.guide.encoder import Encoder

LOG = logging.getLogger("flowedit")
FOLDER = Path(__file__).parent.parent / "corpora"
NEUTRAL = "a face"
MAX_PROMPTS, MAX_BYTES = 1000, 2**20  # of a file
MIN_NEW_SHARE = 0.25  # of a prompt's change that must be new to the basis
MAX_EXAMPLES = 3  # prompts of a shipped corpus that a log line names
MIN_COVERED_SHARE = 0.5  # of the requested change; a corpus that covers less is about something else
MIN_LENGTH = 1e-3  # of a change; embeddings have length 1
WORRIED = "worried eyebrows"
NOTED, WHOLE = 0.15, 0.5  # cosine with its change: below, a denial asks for no worry; above, for little else
CONTRARY = -0.5  # cosine between the changes of a word and of its denial, above which the denial is misread


@dataclass(frozen=True)
class Corpus:
    """Prompts about one subject.

    Attributes:
        name: of a shipped list, or of the user's file without its folder; several are joined by commas.
        prompts: at least two, no two alike.
        custom: read from the user's file.
    """

    name: str
    prompts: tuple[str, ...]
    custom: bool = False

    @property
    def sha256(self) -> str:
        """Hex digest of the prompts."""
        return hashlib.sha256("\n".join(self.prompts).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Basis:
    """A subspace of text changes.

    Attributes:
        vectors: (N, D) orthonormal rows.
        dropped: prompts left out since they depend on those before them.
    """

    vectors: Tensor
    dropped: tuple[str, ...] = ()


def list_corpora() -> list[str]:
    """Return the names of the shipped corpora."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def read_corpus(name: str) -> Corpus:
    """Read a corpus, or several joined by commas.

    One prompt a line; blank lines, lines without a letter or digit, and lines that start with # are skipped.

    Args:
        name: of a shipped corpus (see `list_corpora`), or the path of a UTF-8 text file; "eyes,mouth" is both.

    Raises:
        ValueError: no such corpus or regular file, larger than MAX_BYTES, not text, or not from 2 to MAX_PROMPTS
            prompts.
    """
    file = os.path.expanduser(name)
    names = [name] if os.path.isfile(file) else [part.strip() for part in name.split(",")]
    if len(names) > 1:
        return _join([read_corpus(part) for part in names])
    shipped = names[0] in list_corpora()
    path = FOLDER / f"{names[0]}.txt" if shipped else Path(os.path.expanduser(names[0]))
    require(
        os.path.isfile(path),
        f"corpus must be one of {', '.join(list_corpora())}, or a text file that exists; got {name!r}",
    )
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"corpus must be a readable file; got {path}: {os.strerror(error.errno or 0)}") from error
    require(len(content) <= MAX_BYTES, f"corpus must have at most {MAX_BYTES} bytes; got more: {path}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    require("\0" not in text, f"corpus must be UTF-8 text; got {path}, which is not")
    usable = (" ".join(line.split()) for line in text.splitlines())
    prompts = {line.casefold(): line for line in usable if line[:1] != "#" and any(c.isalnum() for c in line)}
    require(
        2 <= len(prompts) <= MAX_PROMPTS,
        f"corpus must have from 2 to {MAX_PROMPTS} different prompts; got {len(prompts)}: {path}",
    )
    return Corpus(path.stem if shipped else path.name, tuple(prompts.values()), not shipped)


def _join(corpora: Sequence[Corpus]) -> Corpus:
    prompts = dict.fromkeys(prompt for corpus in corpora for prompt in corpus.prompts)
    return Corpus(",".join(corpus.name for corpus in corpora), tuple(prompts), any(c.custom for c in corpora))


def embed_changes(encoder: Encoder, prompts: list[str]) -> Tensor:
    """Embed prompts as differences from NEUTRAL, (n, D): the large part that all texts about faces share cancels.

    A prompt that denies a word is the contrary of that word's difference, where the encoder reads it as anything else.
    Worry is not what it asks for: lowered brows that are to be so no longer ("not angry") lie straight.
    """
    embeddings = encoder.text([NEUTRAL, *prompts])
    changes = embeddings[1:] - embeddings[0]
    for k, text in enumerate(prompts):
        word = denied(text)
        if word is not None and encoder.knows(word):
            change = encoder.text([word])[0] - embeddings[0]
            misread = F.cosine_similarity(changes[k], change, dim=0) > CONTRARY
            changes[k] = _without_worry(encoder, -change if misread else changes[k], embeddings[0])
    return changes


def _without_worry(encoder: Encoder, change: Tensor, neutral: Tensor) -> Tensor:
    """Return a denial's change (D,) without the worry in it, unless it asks for little else."""
    if not encoder.knows(WORRIED):
        return change
    worried = F.normalize(encoder.text([WORRIED])[0] - neutral, dim=0)
    asked = change @ worried
    return change - asked * worried if NOTED < asked / change.norm() < WHOLE else change


def find_corpus(encoder: Encoder, prompts: Mapping[str, float]) -> Corpus:
    """Find the shipped corpora that prompts are about, joined.

    A prompt's corpus is the one whose two most similar lines have the largest mean cosine with it, as changes.
    """
    changes = F.normalize(embed_changes(encoder, list(prompts)), dim=1)
    corpora, scores = [read_corpus(name) for name in list_corpora()], []
    for corpus in corpora:
        lines = F.normalize(embed_changes(encoder, list(corpus.prompts)), dim=1)
        scores.append((changes @ lines.T).topk(2, dim=1).values.mean(1))
    best, indices = torch.stack(scores).max(0)
    for text, score, index in zip(prompts, best.tolist(), indices.tolist(), strict=True):
        LOG.info("corpus of %r: %s (similarity %.2f)", text, corpora[index].name, score)
    return _join([corpora[index] for index in dict.fromkeys(indices.tolist())])


def span_corpus(encoder: Encoder, corpus: Corpus, change: Tensor, components: int | None = None) -> Basis:
    """Compute an orthonormal basis of the changes that a corpus is about, without the prompts unknown to the encoder.

    Args:
        encoder: embeds the prompts.
        corpus: the prompts.
        change: (D,) the requested change; it orders the prompts of a basis of prompts.
        components: None makes the basis of the prompts themselves (`order_prompts`), a number of their first
            principal components (`find_components`).

    Raises:
        ValueError: fewer than 2 prompts that the encoder knows, or fewer components than requested.
    """
    prompts = [prompt for prompt in corpus.prompts if encoder.knows(prompt)]
    if len(prompts) < len(corpus.prompts):
        unknown = [prompt for prompt in corpus.prompts if prompt not in prompts]
        _report_prompts(corpus, f"{encoder.name} does not know", unknown, "; left out")
    require(
        len(prompts) > 1, f"corpus must have 2 prompts that {encoder.name} knows; got {len(prompts)}: {corpus.name}"
    )
    changes = embed_changes(encoder, prompts)
    basis = order_prompts(changes, prompts, change) if components is None else find_components(changes, components)
    if basis.dropped:
        _report_prompts(corpus, "dropped, as others say the same:", basis.dropped)
    share = float((basis.vectors @ change).norm() / change.norm())
    if share < MIN_COVERED_SHARE:
        warn(
            f"corpus {corpus.name} holds {100 * share:.0f} % of what is asked for, and no more can be done: "
            "another, by corpus= (--corpus), or more components may hold more"
        )
    return basis


def order_prompts(changes: Tensor, prompts: list[str], change: Tensor) -> Basis:
    """Compute a basis of prompts by QR, the one most similar to the requested change first, in any order of the file.

    Differs from CLIP-PAE (Zhou et al. 2023), which takes the prompts in their order by classical Gram-Schmidt: here
    dependent ones, of whose change less than MIN_NEW_SHARE is new, are dropped instead of dividing by zero; and
    with the most similar first, hardly any other axis holds a part of the requested change.

    Args:
        changes: (n, D), as from `embed_changes`.
        prompts: n, their names.
        change: (D,).
    """
    similarity = F.cosine_similarity(changes, change[None], dim=1).abs().tolist()
    rows: list[Tensor] = []
    dropped = []
    for k in sorted(range(len(prompts)), key=lambda k: (-similarity[k], prompts[k])):
        rest = changes[k].cpu().double()
        for _ in range(2):  # twice is enough for orthogonality to rounding
            for row in rows:
                rest = rest - (rest @ row) * row
        if rest.norm() < max(MIN_LENGTH, MIN_NEW_SHARE * float(changes[k].norm())) or len(rows) == len(rest):
            dropped.append(prompts[k])
        else:
            rows.append(rest / rest.norm())
    vectors = torch.stack(rows).to(changes) if rows else changes[:0]
    return Basis(vectors, tuple(dropped))


def find_components(changes: Tensor, n: int) -> Basis:
    """Compute the first n principal components, about their mean, of the embeddings behind changes (n_prompts, D).

    Subtracting the mean cancels NEUTRAL and what all lines share; nothing is scaled.

    Raises:
        ValueError: the changes have fewer dimensions than n.
    """
    _, lengths, rows = torch.linalg.svd((changes - changes.mean(0)).cpu().double(), full_matrices=False)
    rank = int((lengths > MIN_LENGTH).sum())
    require(1 <= n <= rank, f"components must be from 1 to {rank} for this corpus; got {n}")
    return Basis(rows[:n].to(changes))


def _report_prompts(corpus: Corpus, what: str, prompts: Sequence[str], consequence: str = "") -> None:
    """Warn with all prompts of the user's own file; log a few examples of a shipped one."""
    shown = prompts if corpus.custom else prompts[:MAX_EXAMPLES]
    rest = f" and {len(prompts) - len(shown)} more" if len(shown) < len(prompts) else ""
    message = f"corpus {corpus.name}: {what} {', '.join(map(repr, shown))}{rest}{consequence}"
    if corpus.custom:
        warn(message)
    else:
        LOG.info(message)
