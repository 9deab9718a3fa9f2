"""Shares of hair: where its border is by the colors near it, and what a pixel is a mixture of."""

from __future__ import annotations

import pytest
import torch

from flowedit.face.matte import fit_matte, share_of

SIDE, UNIT = 128, 32.0
HAIR, SKIN, BEHIND = (
    torch.tensor([0.12, 0.10, 0.09]),
    torch.tensor([0.70, 0.52, 0.42]),
    torch.tensor([0.80, 0.82, 0.85]),
)


def shares(image, mask, face):
    planes = fit_matte(image, mask, face, UNIT)
    return share_of([planes[:4], planes[4:8]], planes[8], planes[9], image)


def scene(hair=HAIR, skin=SKIN, noise=0.01):
    """Background over hair over skin, the rows 0 to 40, 40 to 80 and 80 to 128, and where there is a face."""
    image = torch.cat([each[:, None, None].expand(3, n, SIDE) for each, n in ((BEHIND, 40), (hair, 40), (skin, 48))], 1)
    face = (torch.arange(SIDE) > 60).float()[:, None].expand(SIDE, SIDE)
    return image + noise * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)), face


def band(top, bottom):
    mask = torch.zeros(SIDE, SIDE)
    mask[top:bottom] = 1.0
    return mask


@pytest.mark.parametrize("bottom", [76, 80, 84])  # the mask ends before, at and beyond the hairline
def test_the_hairline_is_where_the_colors_change(bottom):
    image, face = scene()
    share = shares(image, band(40, bottom), face)
    assert share[42 : min(bottom, 80) - 1].mean() > 0.95  # nothing is hair far from what was found
    assert share[82:].max() < 0.15 and share[:38].max() < 0.15


@pytest.mark.parametrize("amount", [0.25, 0.5, 0.75])
def test_a_mixed_pixel_has_its_share(amount):
    image, face = scene(noise=0.0)
    image[:, 80] = SKIN.lerp(HAIR, amount)[:, None]
    image[:, 40] = BEHIND.lerp(HAIR, amount)[:, None]
    share = shares(image, band(40, 81), face)
    assert torch.allclose(share[[40, 80]], torch.tensor(amount), atol=0.03)


def test_what_cannot_be_told_by_color_is_as_the_mask_has_it():
    image, face = scene(hair=SKIN)
    mask = band(40, 84)
    mask[82:86] = torch.tensor([0.9, 0.7, 0.3, 0.1])[:, None]
    share = shares(image, mask, face)
    assert (share[60:88] - mask[60:88]).abs().max() < 0.1


def test_light_within_hair_is_hair():
    image, face = scene()
    image[:, 58:61, 60:70] = 0.8
    assert shares(image, band(40, 80), face)[58:61, 60:70].min() > 0.95
