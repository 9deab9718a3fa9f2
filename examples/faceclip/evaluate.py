"""Zero-shot accuracy of a trained faceclip, by prompts in plain English, on people it never saw."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.measures import rgb_to_lab
from flowedit.guide.encoder import Encoder, load_encoder

from . import attributes as attr
from .augment import recolor
from .train_image import Faces, auc

DATA = Path(__file__).parent / "data"
EMOTIONS = {
    "happy": "a smiling face", "sad": "a sad face", "angry": "an angry face", "surprised": "a surprised face",
    "fearful": "a fearful face", "disgusted": "a disgusted face", "neutral": "a neutral face",
}  # fmt: skip
PAIRS = {
    "mouth_curvature": ("raised mouth corners", "downturned mouth corners"),
    "mouth_open": ("an open mouth", "a closed mouth"),
    "mouth_width": ("a wide mouth", "a narrow mouth"),
    "lip_thickness": ("thick lips", "thin lips"),
    "eye_area": ("big eyes", "small eyes"),
    "eye_open": ("wide open eyes", "narrowed eyes"),
    "brow_height": ("raised eyebrows", "low eyebrows"),
    "nose_width": ("a wide nose", "a narrow nose"),
    "nose_length": ("a long nose", "a short nose"),
    "face_width": ("a wide face", "a narrow face"),
    "jaw_width": ("a wide jaw", "a slim jaw"),
    "face_length": ("a long face", "a short face"),
    "old": ("an old face", "a young face"),
    "female": ("a woman", "a man"),
    "lips_red": ("red lips", "pale lips"),
    "skin_light": ("pale skin", "dark skin"),
    "cheeks_red": ("rosy cheeks", "pale cheeks"),
    "brows_dark": ("dark eyebrows", "light eyebrows"),
    "hair_dark": ("dark hair", "blond hair"),
    "eyes_brown": ("brown eyes", "blue eyes"),
}
NO_SMILE = ("sad", "angry", "fearful", "disgusted")  # what nobody is whom the set calls happy
KINDS = (("women", "men"), ("under 30", "30 to 50", "over 50"), ("dark", "middle", "light"))
LARGE_GAP = 0.1  # of AUC between two groups of a kind, to be told of
DRAWS = 1000  # of faces with replacement, for the interval of a gap
LEAST = 5  # faces on either side that an AUC is worth writing for
SCALE = 100.0  # open_clip's, for probabilities over the expressions' prompts


class Held:
    """Web faces of people held out, as an encoder sees them, and what is known of each.

    Attributes:
        plain: (N, D) embeddings of the faces as they are, which expressions, shapes, age and gender are read from.
        colored: (N, D) of the same faces recolored at random, which colors are read from.
        groups: name -> (N,) members; gender and age as a classifier guessed, skin as bright as photographed.
    """

    def __init__(self, faces: Faces, encoder: Encoder) -> None:
        chosen = np.flatnonzero((faces.split == "val") & (faces.source == "web"))
        image = faces.image[chosen].permute(0, 3, 1, 2)
        masks = faces.masks[chosen]
        gray = 1 - faces.colored[chosen].float()
        generator = torch.Generator().manual_seed(0)
        plain, colored, measured, light = [], [], [], []
        for part in torch.arange(len(chosen)).split(128):
            pixels, mask = image[part].float() / 255, masks[part].float() / 255
            changed, color = recolor(pixels, mask, gray[part], generator)
            plain.append(encoder.image(pixels))
            colored.append(encoder.image(changed))
            measured.append(color)
            lightness = rgb_to_lab(F.avg_pool2d(pixels, 2))[:, 0]
            light.append((lightness * mask[:, 1]).sum((1, 2)) / mask[:, 1].sum((1, 2)).clamp(min=1e-3))
        self.plain, self.colored = torch.cat(plain), torch.cat(colored)
        self.person = faces.person[chosen]
        self.said = faces.expression[chosen]
        self.age = torch.from_numpy(faces.age[chosen])
        self.measured = torch.cat([attr.geometry(faces.landmarks[chosen]), torch.cat(measured)], -1)
        skin, female = torch.cat(light), self.person[:, -1]
        low, high = skin.quantile(1 / 3), skin.quantile(2 / 3)
        self.groups = {
            "all": torch.ones(len(chosen), dtype=torch.bool),
            "women": female > 0.5,
            "men": female <= 0.5,
            "under 30": self.age < 30,
            "30 to 50": (self.age >= 30) & (self.age <= 50),
            "over 50": self.age > 50,
            "dark": skin < low,
            "middle": (skin >= low) & (skin <= high),
            "light": skin > high,
        }

    def truth(self, name: str, members: Tensor) -> tuple[Tensor, Tensor]:
        """Which members (N,) show the attribute, and which of them are sure enough to be counted.

        Not sure is a face that the classifier calls sad, angry, fearful or disgusted and the set itself happy.
        """
        if name in attr.GEOMETRY + attr.COLOR:
            return attr.ends(self.measured[:, (attr.GEOMETRY + attr.COLOR).index(name)], members)
        if name == "old":
            return self.age > 50, members & ((self.age < 30) | (self.age > 50))
        positive, counted = attr.sure(self.person[:, (attr.EXPRESSION + attr.PERSON).index(name)], members)
        smiling = torch.from_numpy(self.said == "happiness")
        return positive, counted & ~(positive & smiling) if name in NO_SMILE else counted

    def accuracy(self, name: str, score: Tensor, members: Tensor) -> float | None:
        """AUC of a score (N,) among the members; None if there are too few on one side."""
        positive, counted = self.truth(name, members)
        sides = int((positive & counted).sum()), int((~positive & counted).sum())
        return auc(score[counted], positive[counted]) if min(sides) >= LEAST else None

    def embedded(self, name: str) -> Tensor:
        return self.colored if name in attr.COLOR else self.plain


def read_scores(held: Held, encoder: Encoder) -> dict[str, Tensor]:
    """Score every face for every attribute, (N,), by prompts."""
    prompts = encoder.text(list(EMOTIONS.values()))
    chances = (SCALE * held.plain @ prompts.T).softmax(-1)
    scores = {name: chances[:, k] for k, name in enumerate(EMOTIONS)}
    for name, (more, less) in PAIRS.items():
        both = encoder.text([more, less])
        scores[name] = held.embedded(name) @ (both[0] - both[1])
    return scores


def zero_shot(held: Held, scores: dict[str, Tensor]) -> dict[str, dict[str, float | None]]:
    """AUC of every attribute, for everyone and by group."""
    return {
        name: {group: held.accuracy(name, score, members) for group, members in held.groups.items()}
        for name, score in scores.items()
    }


def find_gaps(held: Held, scores: dict[str, Tensor], found: dict[str, dict[str, float | None]]) -> list[dict[str, Any]]:
    """List where two groups of a kind differ by more than LARGE_GAP, with the 95 % interval of the difference.

    An expression that six faces of a group show has an AUC of its own only in name: an interval with zero in it says
    that as large a gap comes about by who happens to be among them.
    """
    gaps = []
    generator = torch.Generator().manual_seed(0)
    for name, row in found.items():
        for kind in KINDS:
            known = sorted((value, group) for group in kind if (value := row[group]) is not None)
            if len(known) < 2 or known[-1][0] - known[0][0] <= LARGE_GAP:
                continue
            (low, worse), (high, better) = known[0], known[-1]
            draws = [resample(*held.truth(name, held.groups[g]), scores[name], generator) for g in (better, worse)]
            least, most = (draws[0] - draws[1]).quantile(draws[0].new_tensor([0.025, 0.975])).tolist()
            interval = [least, most]
            gaps.append({"attribute": name, "better": better, "worse": worse, "gap": high - low, "interval": interval})
    return gaps


def resample(positive: Tensor, counted: Tensor, score: Tensor, generator: torch.Generator) -> Tensor:
    """Draw the counted faces with replacement, those on either side apart: (DRAWS,) AUCs."""

    def draw(values: Tensor) -> Tensor:
        return values[torch.randint(len(values), (DRAWS, len(values)), generator=generator)]

    up, down = draw(score[counted & positive]), draw(score[counted & ~positive])
    places = torch.searchsorted(down.sort(1).values, up)  # how many of the others each exceeds
    return places.double().mean(1) / down.shape[1]


def unheard(held: Held, encoder: Encoder, path: Path) -> dict[str, float]:
    """How much of the trained wordings' margin over chance is left for wordings that no caption uses."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    face = encoder.text(["a face"])[0]
    everyone = held.groups["all"]
    margins: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        name, sign = row["attribute"], 1 if row["end"] == "+" else -1
        known = EMOTIONS[name] if name in EMOTIONS else PAIRS[name][0 if sign > 0 else 1]
        scores = held.embedded(name) @ (encoder.text([row["prompt"], known]) - face).T * sign
        new, old = (held.accuracy(name, scores[:, k], everyone) for k in (0, 1))
        if new is not None and old is not None:
            margins.setdefault(name, []).append((new - 0.5, old - 0.5))
    result = {name: sum(new for new, _ in rows) / sum(old for _, old in rows) for name, rows in margins.items()}
    pairs = [pair for rows in margins.values() for pair in rows]
    return {"all": sum(new for new, _ in pairs) / sum(old for _, old in pairs), **result}


def london(faces: Faces, encoder: Encoder) -> dict[str, float]:
    """Tell 26 people's smiles from neutral faces: against everyone's, and each against the same person's own.

    Also against everyone's without the smile that is told worst, to say how much hangs on a single photo.
    """
    chosen = np.flatnonzero((faces.split == "test") & (faces.source == "london"))
    smile = torch.from_numpy(faces.expression[chosen] == "happiness")
    both = encoder.text(["a smiling face", "a neutral face"])
    score = encoder.image(faces.image[chosen].permute(0, 3, 1, 2).float() / 255) @ (both[0] - both[1])
    own = score[smile] > score[~smile]  # sorted by file: a person's two photos are neighbours
    others = torch.ones_like(smile)
    others[torch.where(smile, score, torch.inf).argmin()] = False
    return {
        "against everyone": auc(score, smile),
        "without one photo": auc(score[others], smile[others]),
        "against the same person": float(own.float().mean()),
    }


def knows(encoder: Encoder, foreign: dict[str, Any]) -> dict[str, float]:
    """Tell prompts about anything else from prompts about faces: AUC, and shares on the right side of the threshold."""
    with open(DATA / "prompts.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    score = encoder.text([row["prompt"] for row in rows]) @ torch.tensor(foreign["direction"])
    other = torch.tensor([row["about"] == "other" for row in rows])
    unknown = score >= foreign["threshold"]
    return {
        "auc": auc(score, other),
        "faces known": float((~unknown[~other]).float().mean()),
        "others unknown": float(unknown[other].float().mean()),
    }


@torch.no_grad()
def evaluate(data: Path, weights: Path) -> dict[str, Any]:
    """Print and return every figure."""
    encoder = load_encoder(str(weights))
    faces = Faces(data)
    held = Held(faces, encoder)
    foreign = json.loads((weights / "card.json").read_text())["foreign"]
    scores = read_scores(held, encoder)
    found = zero_shot(held, scores)
    result: dict[str, Any] = {
        "zero_shot": found,
        "gaps": find_gaps(held, scores, found),
        "london_smile": london(faces, encoder),
        "unheard": unheard(held, encoder, DATA / "unheard.csv"),
        "far": unheard(held, encoder, DATA / "far.csv"),
        "prompts": knows(encoder, foreign),
    }
    print("AUC".ljust(16) + "".join(group.rjust(9) for group in held.groups))
    for name, row in result["zero_shot"].items():
        print(name.ljust(16) + "".join(("-" if v is None else f"{v:.3f}").rjust(9) for v in row.values()))
    for gap in result["gaps"]:
        least, most = gap["interval"]
        print(f"{gap['attribute']}: {gap['worse']} {gap['gap']:.3f} below {gap['better']}, {least:.3f} to {most:.3f}")
    for name in ("london_smile", "unheard", "far", "prompts"):
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in result[name].items()))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument("--weights", type=Path, default=Path("flowedit/weights/faceclip"))
    parser.add_argument("--json", type=Path, help="file for every figure")
    options = parser.parse_args()
    result = evaluate(options.data, options.weights)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
