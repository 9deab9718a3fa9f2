"""Lists of prompts about one subject, the one that a prompt belongs to, and the subspace that they span."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require
from flowedit.guide.encoder import Encoder

LOG = logging.getLogger("flowedit")
FOLDER = Path(__file__).parent.parent / "corpora"
NEUTRAL = "a face"
MOST = 1000  # prompts in a file
DEPENDENT = 0.25  # share of a prompt's change that must be new to the basis
EXAMPLES = 3  # prompts of a shipped corpus that the log names
LITTLE = 0.5  # share of what is asked for; a corpus that holds less is about something else
NONE = 1e-3  # a change shorter than this is none; embeddings have length 1


@dataclass(frozen=True)
class Corpus:
    """Prompts about one subject.

    Attributes:
        name: of a shipped list, or of the user's file without its folder; several are joined by commas.
        prompts: at least two, no two alike.
        own: read from the user's file.
    """

    name: str
    prompts: tuple[str, ...]
    own: bool = False


@dataclass(frozen=True, eq=False)
class Basis:
    """A subspace of text changes.

    Attributes:
        vectors: (N, D) orthonormal rows.
        dropped: prompts that it does without, since those before them say the same.
    """

    vectors: Tensor
    dropped: tuple[str, ...] = ()


def list_corpora() -> list[str]:
    """Name the shipped corpora."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def read_corpus(name: str) -> Corpus:
    """Read a corpus, or several joined by commas.

    One prompt a line; blank lines, lines without a word, and what follows a # at a line's start do not count.

    Args:
        name: of a shipped corpus (see `list_corpora`), or the path of a UTF-8 text file; "eyes,mouth" is both.

    Raises:
        ValueError: no such corpus or file, not text, or not from 2 to MOST prompts.
    """
    names = [name] if Path(name).is_file() else [part.strip() for part in name.split(",")]
    if len(names) > 1:
        parts = [read_corpus(part) for part in names]
        lines = dict.fromkeys(prompt for part in parts for prompt in part.prompts)
        return Corpus(",".join(part.name for part in parts), tuple(lines), any(part.own for part in parts))
    shipped = names[0] in list_corpora()
    path = FOLDER / f"{names[0]}.txt" if shipped else Path(names[0])
    require(
        path.is_file(), f"corpus must be one of {', '.join(list_corpora())}, or a text file that exists; got {name!r}"
    )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise ValueError(f"corpus must be a readable file; got {path}: {os.strerror(error.errno or 0)}") from error
    require("\0" not in text, f"corpus must be UTF-8 text; got {path}, which is not")
    usable = (" ".join(line.split()) for line in text.splitlines())
    prompts = {line.casefold(): line for line in usable if line[:1] != "#" and any(c.isalnum() for c in line)}
    require(
        2 <= len(prompts) <= MOST, f"corpus must have from 2 to {MOST} different prompts; got {len(prompts)}: {path}"
    )
    return Corpus(path.stem if shipped else path.name, tuple(prompts.values()), not shipped)


def embed_changes(encoder: Encoder, prompts: list[str]) -> Tensor:
    """Embed prompts as differences from NEUTRAL, (n, D): all texts about faces share a large part, which cancels."""
    embeddings = encoder.text([NEUTRAL, *prompts])
    return embeddings[1:] - embeddings[0]


def find_corpus(encoder: Encoder, prompts: Mapping[str, float]) -> str:
    """Find the shipped corpus of each prompt: the one whose two likest lines change most as the prompt does, by cosine.

    Returns:
        Their names, joined by commas.
    """
    changes = F.normalize(embed_changes(encoder, list(prompts)), dim=1)
    likeness = {}
    for name in list_corpora():
        lines = F.normalize(embed_changes(encoder, list(read_corpus(name).prompts)), dim=1)
        likeness[name] = (changes @ lines.T).topk(2, dim=1).values.mean(1).tolist()
    found = []
    for k, text in enumerate(prompts):
        found.append(max(likeness, key=lambda name: likeness[name][k]))
        LOG.info("corpus of %r: %s (likeness %.2f)", text, found[-1], likeness[found[-1]][k])
    return ",".join(dict.fromkeys(found))


def span_corpus(encoder: Encoder, corpus: Corpus, change: Tensor, components: int | None = None) -> Basis:
    """Make an orthonormal basis of the changes that a corpus is about.

    Prompts that the encoder does not know stay out.

    Args:
        encoder: whose embeddings they are.
        corpus: the prompts.
        change: (D,) what is asked for; it orders the prompts of a basis of prompts.
        components: None makes the basis of the prompts themselves (`order_prompts`), a number of their first
            principal components (`find_components`).

    Raises:
        ValueError: fewer than 2 prompts that the encoder knows, or fewer components than asked for.
    """
    known = [prompt for prompt in corpus.prompts if encoder.knows(prompt)]
    if left := [prompt for prompt in corpus.prompts if prompt not in known]:
        _tell(corpus, f"{encoder.name} does not know", left, "; left out")
    require(len(known) > 1, f"corpus must have 2 prompts that {encoder.name} knows; got {len(known)}: {corpus.name}")
    changes = embed_changes(encoder, known)
    basis = order_prompts(changes, known, change) if components is None else find_components(changes, components)
    if basis.dropped:
        _tell(corpus, "dropped, as others say the same:", basis.dropped)
    share = float((basis.vectors @ change).norm() / change.norm())
    if share < LITTLE:
        warnings.warn(
            f"corpus {corpus.name} holds {100 * share:.0f} % of what is asked for, and no more can be done: "
            "another, by corpus= (--corpus), or more components may hold more",
            stacklevel=2,
        )
    return basis


def order_prompts(changes: Tensor, prompts: list[str], change: Tensor) -> Basis:
    """Make a basis of prompts by QR, the likest to what is asked for first, whatever their order in the file.

    Differs from CLIP-PAE (Zhou et al. 2023), which takes the prompts as they come by classical Gram-Schmidt: here
    dependent ones, of whose change less than DEPENDENT is new, are dropped instead of dividing by nothing; and
    with the likest first, hardly any other axis holds a part of what is asked for.

    Args:
        changes: (n, D), as from `embed_changes`.
        prompts: n, their names.
        change: (D,).
    """
    like = F.cosine_similarity(changes, change[None], dim=1).abs().tolist()
    rows: list[Tensor] = []
    dropped = []
    for k in sorted(range(len(prompts)), key=lambda k: (-like[k], prompts[k])):
        new = changes[k].cpu().double()
        for _ in range(2):  # twice is enough for orthogonality to rounding
            for row in rows:
                new = new - (new @ row) * row
        if new.norm() < max(NONE, DEPENDENT * float(changes[k].norm())) or len(rows) == len(new):
            dropped.append(prompts[k])
        else:
            rows.append(new / new.norm())
    vectors = torch.stack(rows).to(changes) if rows else changes[:0]
    return Basis(vectors, tuple(dropped))


def find_components(changes: Tensor, n: int) -> Basis:
    """Find the first n principal components, about their mean, of the embeddings behind changes (n_prompts, D).

    The mean is taken off (so NEUTRAL cancels, and so does what all lines share) and nothing is scaled.

    Raises:
        ValueError: the changes have fewer dimensions than n.
    """
    _, lengths, rows = torch.linalg.svd((changes - changes.mean(0)).cpu().double(), full_matrices=False)
    rank = int((lengths > NONE).sum())
    require(1 <= n <= rank, f"components must be from 1 to {rank} for this corpus; got {n}")
    return Basis(rows[:n].to(changes))


def _tell(corpus: Corpus, said: str, prompts: Sequence[str], more: str = "") -> None:
    """Warn about the user's own file, all of which they may want to mend; of ours, give the log a few examples."""
    shown = prompts if corpus.own else prompts[:EXAMPLES]
    rest = f" and {len(prompts) - len(shown)} more" if len(shown) < len(prompts) else ""
    message = f"corpus {corpus.name}: {said} {', '.join(map(repr, shown))}{rest}{more}"
    if corpus.own:
        warnings.warn(message, stacklevel=2)
    else:
        LOG.info(message)
