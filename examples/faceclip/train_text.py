"""Train the text tower on captions whose meaning is known, and write the open_clip checkpoint that ships.

A caption's target is the face direction plus the image tower's own directions of what it names; prompts
about anything else go to a direction of their own, which is how faceclip says "I don't know this".
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from flowedit.guide.faceclip import faceclip_tower
from flowedit.guide.shipped import PHRASES

from . import attributes as attr
from . import ranks
from .alone import find_alone, find_misread, read_synonyms, write_phrases
from .captions import CONCEPTS, Concept, Meaning, describe, foreign, phrase_bank, restrict
from .languages import LANGUAGES, LEARNED, Tongue
from .teacher import SentenceModel, Teacher, plain_words, sentences
from .train_image import DIRECTIONS, MEAN, STD, WEIGHTS, Directions, Faces, blend

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {
            "timm_model_name": "faceclip_tower",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "none",
            "image_size": 128,
        },
        "text_cfg": {"context_length": 64, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
    },
    "preprocess_cfg": {
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}
KEPT = ("vectors", "face", "foreign")  # of `Meanings`
PLAIN = ("a face", "a photo of a face", "a person", "a portrait", "face", "the face of a person")
REACH = 1.0  # a plain attribute's length next to the face direction's
PORTION = 1024  # texts that are read at once
SHORT = 16  # tokens that most texts fit in


class Meanings:
    """Targets in the image tower's own space.

    Args:
        vectors: (K, D) unit vectors of the attributes, in the order of their names.
        face: (D) where prompts about a face and nothing else belong, a unit vector.
        foreign: (D) where those about anything else do.
    """

    def __init__(self, vectors: Tensor, face: Tensor, foreign: Tensor) -> None:
        self.vectors, self.face, self.foreign = vectors, face, foreign

    @classmethod
    def of_tower(cls, heads: Directions, mean: Tensor) -> Meanings:
        """Take an image tower's directions, and of its mean embedding of faces what is about no attribute."""
        vectors = heads.unit().detach()
        basis, _ = torch.linalg.qr(vectors.T)
        face = F.normalize(mean - basis @ (basis.T @ mean), dim=0)
        other = torch.randn(len(mean), generator=torch.Generator().manual_seed(7))
        other = other - basis @ (basis.T @ other) - face * (face @ other)
        return cls(vectors, face, F.normalize(other, dim=0))

    def __call__(self, meanings: list[Meaning | None]) -> Tensor:
        rows = []
        for meaning in meanings:
            if meaning is None:
                rows.append(self.foreign)
                continue
            coefficients = torch.zeros(len(attr.NAMES))
            for name, value in meaning.items():
                if name in attr.INDEX:  # others are words that this tower has no direction for
                    coefficients[attr.INDEX[name]] = value
            change = coefficients @ self.vectors
            # An attribute's length is its strongest coefficient's; a bundle of correlated ones is no longer.
            length = coefficients.abs().max() * max(1.0, len(meaning) ** 0.25)
            rows.append(self.face + REACH * length * F.normalize(change, dim=0) if meaning else self.face)
        return F.normalize(torch.stack(rows), dim=-1)


class Words:
    """Captions and other prompts, drawn at random, and their rows of tokens.

    Attributes:
        concepts: those whose attributes the image tower knows.
    """

    def __init__(self, seed: int) -> None:
        self.tokenizer = new_tokenizer()
        self.rng = random.Random(seed)
        self.concepts: tuple[Concept, ...] = restrict(CONCEPTS, attr.NAMES)
        self.tongues = [Tongue(code, attr.NAMES) for code in LEARNED]
        phrases = zip(*phrase_bank(self.concepts), strict=True)
        self.phrases = [(text, meaning) for text, meaning in phrases if meaning is not None]

    def draw(self, n: int) -> tuple[list[str], list[Meaning | None]]:
        """Prompts and what they mean; None for those that are not about faces."""
        drawn = [self._draw() for _ in range(n)]
        return [text for text, _ in drawn], [meaning for _, meaning in drawn]

    def _draw(self) -> tuple[str, Meaning | None]:
        roll = self.rng.random()
        if roll < 0.18:
            return foreign(self.rng), None
        if roll < 0.22:
            return self.rng.choice(self.tongues).elsewhere(self.rng), None
        if roll < 0.25:
            return self.rng.choice(PLAIN), {}
        if roll < 0.45:
            return self.rng.choice(self.tongues).say(self.rng)
        if roll < 0.63:
            return self.rng.choice(self.phrases)
        return describe(self.rng, self.concepts)


@dataclass(frozen=True)
class Fit:
    """How a text tower is trained: by an optimizer's steps over batches of captions and as many free sentences.

    Attributes:
        free: how many sentences the sentence model reads.
        device: cpu or cuda.
        workers: processes that draw captions; on a GPU as many as there are cores, since drawing takes the longest.
    """

    steps: int = 3000
    batch: int = 192
    rate: float = 1.5e-3
    seed: int = 0
    free: int = 120_000
    device: str = "cpu"
    workers: int = 0


FIRST = Fit()
FURTHER = Fit(steps=1500, rate=5e-4)


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of captions, each drawn by its own seed whoever draws it: rows of tokens, and targets (batch, D)."""

    def __init__(self, words: Words, meanings: Meanings, plan: Fit) -> None:
        self.words, self.meanings, self.plan = words, meanings, plan

    def __len__(self) -> int:
        return self.plan.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        self.words.rng.seed(self.plan.seed * 1_000_003 + step)
        captions, said = self.words.draw(self.plan.batch)
        return self.words.tokenizer(captions), self.meanings(said)


def new_tokenizer() -> Any:
    """open_clip's own tokenizer, at the length of the text tower's context."""
    return open_clip.SimpleTokenizer(context_length=CONFIG["model_cfg"]["text_cfg"]["context_length"])


def new_model(folder: Path) -> Any:
    """An open_clip model with random weights, named by the config that will ship, which is written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    if not timm.is_model("faceclip_tower"):
        timm.models.register_model(faceclip_tower)
    return open_clip.create_model(f"local-dir:{folder}", precision="fp32", load_weights=False)


def read_words(model: Any, words: Words, meanings: Meanings, plan: Fit, *, begun: bool) -> tuple[Tensor, Tensor]:
    """Let a sentence model read free sentences, and start the token table from its sense of each token unless begun.

    Returns:
        Token rows (n, context) of sentences of any words, and where the sentence model puts them, (n, embed_dim).
    """
    sentence_model = SentenceModel(plan.device)
    phrases, said = phrase_bank(words.concepts)
    teacher = Teacher(sentence_model, phrases, said, meanings(said))
    tokens = list(words.tokenizer.encoder)
    if not begun:
        senses = sentence_model([token.removesuffix("</w>") for token in tokens]).cpu()
        table = model.token_embedding.weight
        _, _, axes = torch.linalg.svd(senses[::7] - senses.mean(0), full_matrices=False)
        projected = (senses - senses.mean(0)) @ axes[: table.shape[1]].T
        with torch.no_grad():
            table.copy_(projected * 0.02 / projected.std())
    known = sorted({*plain_words(tokens), *sentence_model.words()})
    about = teacher(known) @ meanings.foreign
    near = [known[k] for k in about.argsort()[: len(known) // 10].tolist()]
    free = sentences(known, near, [saying for each in words.concepts for saying in each.sayings], plan.free, words.rng)
    return words.tokenizer(free), teacher(free)


def read_text(model: Any, rows: Tensor) -> Tensor:
    """Encode rows of tokens as the model's `encode_text` does, at a part of the cost: no longer than they are.

    Attention is causal, so what follows the end of a text has no effect on it. The few long texts of a batch are
    read apart from the many short ones.
    """
    lengths = (rows > 0).sum(1)
    if lengths.max() <= SHORT or lengths.min() > SHORT:
        return _read_rows(model, rows[:, : int(lengths.max())])
    embedded = rows.new_zeros((len(rows), model.text_projection.shape[1]), dtype=torch.float32)
    for part in (lengths <= SHORT, lengths > SHORT):
        embedded = embedded.index_put(
            (part.nonzero()[:, 0],), _read_rows(model, rows[part, : int(lengths[part].max())])
        )
    return embedded


def _read_rows(model: Any, rows: Tensor) -> Tensor:
    n = rows.shape[1]
    x = model.token_embedding(rows) + model.positional_embedding[:n]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:n, :n]))
    return x[torch.arange(len(rows)), rows.argmax(1)] @ model.text_projection


def train(image: Path, data: Path, out: Path, plan: Fit = FIRST) -> None:
    """Train on a finished image tower, whose mean embedding of the training faces says where faces are."""
    torch.manual_seed(plan.seed)  # a script, not the library: the tower's initial weights
    state = torch.load(image, map_location="cpu", weights_only=False)
    model = new_model(out)
    model.visual.trunk.load_state_dict(state["all"][2])
    model.visual.eval().requires_grad_(False)
    heads = Directions(len(attr.NAMES), CONFIG["model_cfg"]["embed_dim"])
    heads.load_state_dict(state["all"][3])
    faces = Faces(data)
    sample = torch.from_numpy(np.flatnonzero(faces.split == "train")[::12])
    with torch.no_grad():
        pixels = (faces.image[sample].permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
        mean = torch.cat([F.normalize(model.visual(part), dim=-1) for part in pixels.split(128)]).mean(0)
    meanings = Meanings.of_tower(heads, mean)
    with ranks.joined(plan.device):
        fit(model, meanings, plan)
        first = ranks.is_first()
    if first:
        write(model, meanings, state["auc"], out)


def train_further(begin: Path, out: Path, image: Path | None = None, plan: Fit = FURTHER, *, kept: float = 0.0) -> None:
    """Teach a finished encoder's text tower more words, or other meanings; by 0 steps it stays as it is.

    A share `kept` of its former weights stays (see `train_image.train`), of its token table twice that: what is new is
    learned at the cost of a little of what it knew, most of all that a word which no caption uses is about anything
    else. Its image tower stays too, or becomes `image`'s, which was trained further on the same directions.
    """
    torch.manual_seed(plan.seed)
    model = new_model(out)
    tensors = load_file(begin / WEIGHTS)  # of the counts of batches, which are whole, nothing is read
    model.load_state_dict({name: value.float() for name, value in tensors.items() if value.is_floating_point()}, False)
    model.visual.eval().requires_grad_(False)
    with np.load(begin / DIRECTIONS) as directions:
        meanings = Meanings(**{name: torch.from_numpy(directions[name]) for name in KEPT})
    accuracy = json.loads((begin / "card.json").read_text(encoding="utf-8"))["image_auc"]
    if image is not None:
        state = torch.load(image, map_location="cpu", weights_only=False)
        model.visual.trunk.load_state_dict(state["all"][2])
        accuracy = state["auc"]
    before = copy.deepcopy(model.state_dict())
    with ranks.joined(plan.device):
        if plan.steps:
            fit(model, meanings, plan, begun=True)
            keep(model, before, kept)
        first = ranks.is_first()
    if first:
        write(model, meanings, accuracy, out)


def keep(model: Any, before: dict[str, Tensor], share: float) -> None:
    """Move a model back by a share of the way to what it was before, its token table by twice that."""
    table = model.get_parameter("token_embedding.weight").data
    changed = table.clone()
    blend(model, before, share)
    table.copy_(changed.lerp(before["token_embedding.weight"], min(1.0, 2 * share)))


def fit(model: Any, meanings: Meanings, plan: Fit, *, begun: bool = False) -> None:
    """Train the text tower of a model: captions to their meanings, free sentences to the teacher's.

    The token table starts from the teacher's senses, but for a tower that has `begun`.
    """
    place = torch.device(plan.device)
    words = Words(plan.seed)
    read = read_words(model, words, meanings, plan, begun=begun)
    free_rows, free_targets = (part.to(place) for part in read)
    model.to(place)
    coming = DataLoader(Batches(words, meanings, plan), batch_size=None, num_workers=plan.workers)
    text = [p for n, p in model.named_parameters() if not n.startswith("visual") and p.requires_grad]
    # As open_clip has it: keys' biases get no gradient but rounding, of which a smaller eps makes steps.
    optimizer = torch.optim.AdamW(text, plan.rate, eps=1e-6, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.rate, total_steps=plan.steps, pct_start=0.1)
    start = time.time()
    for step, (captions, targets) in enumerate(coming):
        captions, targets = captions.to(place), targets.to(place)
        i = torch.randint(len(free_rows), (plan.batch,)).to(place)
        rows = torch.cat([captions, free_rows[i]])
        embedded = ranks.gather(F.normalize(read_text(model, ranks.share(rows)), dim=-1))
        alike = targets @ targets.T > 0.97  # other wordings of the same thing are no negatives
        logits = 20 * embedded[: plan.batch] @ targets.T
        logits = logits.masked_fill(alike & ~torch.eye(len(alike), dtype=torch.bool, device=place), -1e4)
        close = (embedded * torch.cat([targets, free_targets[i]])).sum(-1)
        loss = 20 * (1 - close).mean() + F.cross_entropy(logits, torch.arange(len(logits), device=place))
        optimizer.zero_grad()
        loss.backward()
        ranks.add_gradients(text)
        torch.nn.utils.clip_grad_norm_(text, 1.0)
        optimizer.step()
        schedule.step()
        if ranks.is_first() and (step + 1) % 100 == 0:
            print(
                f"{step + 1}/{plan.steps} loss {loss.item():.3f} cosine {close[: plan.batch].mean():.3f}, "
                f"of free sentences {close[plan.batch :].mean():.3f} {time.time() - start:.0f} s",
                flush=True,
            )
    model.cpu()


def write(model: Any, meanings: Meanings, image_auc: dict[str, float], out: Path) -> None:
    """Write weights in half precision (normalization apart), and the card's facts with the SHA-256."""
    weights = {name: value.half() if value.ndim > 1 else value.clone() for name, value in model.state_dict().items()}
    tensors = {name: value.contiguous() for name, value in weights.items()}
    path = out / WEIGHTS
    save_file(tensors, path)
    np.savez(out / DIRECTIONS, **{name: getattr(meanings, name).numpy() for name in KEPT})
    threshold = 0.1
    tokenizer = new_tokenizer()

    def read(texts: Sequence[str]) -> Tensor:
        parts = (texts[k : k + PORTION] for k in range(0, len(texts), PORTION))
        return torch.cat([read_text(model, tokenizer(list(part))) for part in parts])

    alone = find_alone(read, meanings, meanings.foreign, threshold)
    write_phrases(find_misread(read, meanings, meanings.face), out / PHRASES)
    card = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "foreign": {"direction": [round(v, 6) for v in meanings.foreign.tolist()], "threshold": threshold},
        "languages": ["English", *(LANGUAGES[code]["name"] for code in LEARNED)],
        "alone": alone | read_synonyms("alone"),
        "synonyms": read_synonyms("anywhere"),
        "image_auc": {name: round(value, 3) for name, value in image_auc.items()},
    }
    (out / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--image", type=Path, help="default: out/faceclip/image_tower_head.pt, or --begin's own image tower"
    )
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument("--begin", type=Path, help="folder of an encoder to teach more words; no faces then")
    parser.add_argument("--out", type=Path, default=Path("flowedit/weights/faceclip"))
    parser.add_argument("--steps", type=int, help=f"default: {FIRST.steps}, or {FURTHER.steps} from --begin")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float, help=f"default: {FIRST.rate}, or {FURTHER.rate} from --begin")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--free", type=int, help=f"sentences that the sentence model reads, default {FIRST.free}")
    parser.add_argument("--kept", type=float, help="share of --begin's weights that stays, default 0")
    parser.add_argument("--device", help="cpu or cuda, default cpu")
    parser.add_argument("--workers", type=int, help="processes that draw captions; on a GPU as many as cores")
    options = vars(parser.parse_args())
    image, data, begin, out, kept = (options.pop(name) for name in ("image", "data", "begin", "out", "kept"))
    if kept is not None and begin is None:
        parser.error("--kept goes with --begin")
    given = {name: value for name, value in options.items() if value is not None}
    if begin is None:
        train(image or Path("out/faceclip/image_tower_head.pt"), data, out, replace(FIRST, **given))
    else:
        train_further(begin, out, image, replace(FURTHER, **given), kept=kept or 0.0)


if __name__ == "__main__":
    main()
