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

from flowedit.guide.encoder import Encoder
from flowedit.guide.faceclip import FaceTower
from flowedit.guide.shipped import load_shipped

from . import attributes as attr
from .faces import Faces
from .held import KINDS, Held
from .train_image import MEAN, STD, Directions, auc

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
    "brow_arch": ("arched eyebrows", "straight eyebrows"),
    "brow_slant": ("worried eyebrows", "angry eyebrows"),
    "mouth_tilt": ("a crooked mouth", "a symmetric mouth"),
    "wink": ("a winking face", "both eyes open alike"),
    "brow_tilt": ("one raised eyebrow", "even eyebrows"),
    "pout": ("pouting lips", "lips drawn wide"),
    "chin_width": ("a square chin", "a pointed chin"),
    "cheek_fullness": ("chubby cheeks", "gaunt cheeks"),
    "chin_length": ("a long chin", "a short chin"),
    "gaze_side": ("eyes looking to the side", "eyes looking straight ahead"),
    "gaze_up": ("eyes looking up", "eyes looking down"),
    "brows_thick": ("thick eyebrows", "thin eyebrows"),
    "hair_warm": ("golden hair", "ash hair"),
    "hair_red": ("red hair", "hair without red"),
    "hair_gray": ("gray hair", "hair without gray"),
    "eyes_light": ("light eyes", "dark eyes"),
    "eyes_green": ("green eyes", "reddish brown eyes"),
    "beard_shadow": ("a beard shadow", "a clean-shaven chin"),
    "moustache_shadow": ("a shadow above the lip", "a clean-shaven upper lip"),
    "lid_dark": ("dark eye shadow", "bare eyelids"),
    "liner": ("eyeliner", "no eyeliner"),
    "under_eye_dark": ("dark rings under the eyes", "rested eyes"),
    "lines_forehead": ("forehead wrinkles", "a smooth forehead"),
    "lines_eyes": ("crow's feet", "no crow's feet"),
    "lines_mouth": ("deep smile lines", "no smile lines"),
    "skin_smooth": ("smooth skin", "rough skin"),
    "freckles": ("freckles", "no freckles"),
    "shine": ("shiny skin", "matte skin"),
    "glasses": ("glasses", "no glasses"),
    "sunglasses": ("sunglasses", "no sunglasses"),
    "hat": ("a hat", "no hat"),
    "teeth": ("visible teeth", "no teeth showing"),
    "bald": ("a bald head", "a full head of hair"),
    "full_beard": ("a full beard", "no beard"),
    "mustache": ("a mustache", "no mustache"),
    "hair_long": ("long hair", "short hair"),
    "hair_curly": ("curly hair", "straight hair"),
    "heavy_makeup": ("heavy makeup", "no makeup"),
    "child": ("a child", "an adult"),
    "tongue": ("a tongue sticking out", "no tongue showing"),
}
LARGE_GAP = 0.08  # of AUC between two groups of a kind, to be told of
MANY = 30  # faces on either side from which two groups are compared
DRAWS = 1000  # of faces with replacement, for the interval of a gap
SCALE = 100.0  # open_clip's, for probabilities over the expressions' prompts


class Tower:
    """A trained image tower alone, before there are words: its own directions stand for prompts.

    Args:
        path: the checkpoint that train_image wrote.
    """

    def __init__(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=False)
        self.tower = FaceTower(width=state["width"]).eval()
        self.tower.load_state_dict(state["all"][2])
        self.directions = Directions(len(attr.NAMES), 128)
        self.directions.load_state_dict(state["all"][3])

    def image(self, image: Tensor) -> Tensor:
        return F.normalize(self.tower((image - MEAN) / STD), dim=-1)

    def text(self, prompts: list[str]) -> Tensor:
        """Directions of attributes by name, "-" before it for the other end; zero for "a face"."""
        unit = self.directions.unit()
        signed = [(-1 if prompt[0] == "-" else 1, prompt.lstrip("-")) for prompt in prompts]
        rows = [sign * unit[attr.INDEX[name]] if name in attr.INDEX else 0 * unit[0] for sign, name in signed]
        return torch.stack(rows)


def read_scores(held: Held, encoder: Encoder, *, changed: bool) -> dict[str, Tensor]:
    """Score every face for every attribute, (N,), by prompts, or by a tower's own directions."""
    embedded = held.changed if changed else held.plain
    if isinstance(encoder, Tower):
        return {name: embedded @ encoder.text([name])[0] for name in attr.NAMES}
    prompts = encoder.text(list(EMOTIONS.values()))
    chances = (SCALE * embedded @ prompts.T).softmax(-1)
    scores = {name: chances[:, k] for k, name in enumerate(EMOTIONS)}
    for name, (more, less) in PAIRS.items():
        both = encoder.text([more, less])
        scores[name] = embedded @ (both[0] - both[1])
    return scores


def zero_shot(held: Held, scores: dict[str, Tensor], *, changed: bool) -> dict[str, dict[str, float | None]]:
    """AUC of every attribute, for everyone and by group."""
    return {
        name: {group: held.accuracy(name, score, members, changed=changed) for group, members in held.groups.items()}
        for name, score in scores.items()
    }


def find_gaps(
    held: Held, scores: dict[str, Tensor], found: dict[str, dict[str, float | None]], *, changed: bool
) -> list[dict[str, Any]]:
    """List where two groups of a kind, MANY faces on each side, differ by more than LARGE_GAP, with its 95 % interval.

    An expression that six faces of a group show has an AUC of its own only in name: an interval with zero in it says
    that as large a gap comes about by who happens to be among them.
    """
    gaps = []
    generator = torch.Generator().manual_seed(0)
    for name, row in found.items():
        for kind in KINDS:
            sides = {g: held.truth(name, held.groups[g], changed=changed) for g in kind}
            many = [g for g, (up, of) in sides.items() if min(int((up & of).sum()), int((~up & of).sum())) >= MANY]
            known = sorted((value, group) for group in many if (value := row[group]) is not None)
            if len(known) < 2 or known[-1][0] - known[0][0] <= LARGE_GAP:
                continue
            (low, worse), (high, better) = known[0], known[-1]
            draws = [resample(*sides[g], scores[name], generator) for g in (better, worse)]
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


def unheard(held: Held, encoder: Encoder, rows: list[dict[str, str]]) -> dict[str, float]:
    """How much of the trained wordings' margin over chance is left for wordings that no caption uses."""
    face = encoder.text(["a face"])[0]
    everyone = held.groups["all"]
    margins: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        name, sign = row["attribute"], 1 if row["end"] == "+" else -1
        known = EMOTIONS[name] if name in EMOTIONS else PAIRS[name][0 if sign > 0 else 1]
        scores = held.embedded(name) @ (encoder.text([row["prompt"], known]) - face).T * sign
        changed = held.by_change(name)
        new, old = (held.accuracy(name, scores[:, k], everyone, changed=changed) for k in (0, 1))
        if new is not None and old is not None:
            margins.setdefault(name, []).append((new - 0.5, old - 0.5))
    result = {name: sum(new for new, _ in rows) / sum(old for _, old in rows) for name, rows in margins.items()}
    pairs = [pair for rows in margins.values() for pair in rows]
    return {"all": sum(new for new, _ in pairs) / sum(old for _, old in pairs), **result}


def read_wordings(name: str) -> list[dict[str, str]]:
    with open(DATA / name, newline="") as file:
        return list(csv.DictReader(file))


def london(faces: Faces, encoder: Encoder, prompts: tuple[str, str]) -> dict[str, float]:
    """Tell 26 people's smiles from neutral faces: against everyone's, and each against the same person's own.

    Also against everyone's without the smile that is told worst, to say how much hangs on a single photo.
    """
    chosen = np.flatnonzero((faces.split == "test") & (faces.source == "london"))
    smile = torch.from_numpy(faces.expression[chosen] == "happiness")
    both = encoder.text(list(prompts))
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
    rows = read_wordings("prompts.csv")
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
    """Print and return every figure; of a tower alone (a .pt file) those that need no words."""
    alone = weights.suffix == ".pt"
    encoder: Any = Tower(weights) if alone else load_shipped(weights, torch.device("cpu"), weights.name)
    faces = Faces(data)
    faces.measure_population()
    held = Held(faces, encoder)
    result: dict[str, Any] = {}
    for kind in ("natural", "changed"):
        changed = kind == "changed"
        scores = read_scores(held, encoder, changed=changed)
        found = zero_shot(held, scores, changed=changed)
        result[kind] = found
        result[f"{kind} gaps"] = find_gaps(held, scores, found, changed=changed)
        print(f"AUC, {kind}".ljust(18) + "".join(group.rjust(9) for group in held.groups))
        for name, row in found.items():
            if row["all"] is not None:
                print(name.ljust(18) + "".join(("-" if v is None else f"{v:.3f}").rjust(9) for v in row.values()))
        for gap in result[f"{kind} gaps"]:
            least, most = gap["interval"]
            print(
                f"{gap['attribute']}: {gap['worse']} {gap['gap']:.3f} below {gap['better']}, {least:.3f} to {most:.3f}"
            )
    result["london_smile"] = london(
        faces, encoder, ("happy", "neutral") if alone else ("a smiling face", "a neutral face")
    )
    if not alone:
        foreign = json.loads((weights / "card.json").read_text(encoding="utf-8"))["foreign"]
        result["unheard"] = unheard(held, encoder, read_wordings("unheard.csv"))
        result["far"] = unheard(held, encoder, read_wordings("far.csv"))
        wordings = read_wordings("unheard2.csv")
        for kind, language in sorted({(row["kind"], row["language"]) for row in wordings}):
            some = [row for row in wordings if (row["kind"], row["language"]) == (kind, language)]
            result[f"new words, {kind}, {language}"] = unheard(held, encoder, some)
        result["prompts"] = knows(encoder, foreign)
    for name in result:
        if not name.startswith(("natural", "changed")):
            print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in result[name].items()))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument(
        "--weights", type=Path, default=Path("flowedit/weights/faceclip"), help="a folder, or train_image's .pt"
    )
    parser.add_argument("--json", type=Path, help="file for every figure")
    options = parser.parse_args()
    result = evaluate(options.data, options.weights)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
