"""Train the network that tells where hair is to be expected.

    python -m examples.hair FOLDER

Reads london, 3dsk, portraits_192.npz, synthetic_192.npz and expressions_192.npz (see examples/faceclip/prepare.py), but
for the people held out there. Heads whose hair is dark against the skin are found by its color alone (`by_color.py`);
what the network learns beyond that is the same heads dyed, bleached and shaved, before other walls, in other frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from flowedit.face.hair_net import FILE, load_hair_net

from .heads import prepare
from .train import RATE, STEPS, Heads, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the sets named above")
    parser.add_argument("--heads", type=Path, default=Path("out/hair/heads.npz"), help="prepared once")
    parser.add_argument("--weights", type=Path, default=FILE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument(
        "--further",
        action="store_true",
        help="begin with the shipped weights, and prepare heads by them; give fewer --steps",
    )
    options = parser.parse_args()
    if not options.heads.exists():
        prepare(options.folder, options.heads, learned=options.further)
    begin = load_hair_net() if options.further else None
    network = train(Heads(options.heads), steps=options.steps, rate=options.rate, begin=begin)
    options.weights.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: value.to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    save_file(weights, options.weights)


if __name__ == "__main__":
    main()
