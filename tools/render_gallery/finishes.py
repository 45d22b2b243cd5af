"""Colours and finishes that go round with the instance, and smooth outlines."""

import numpy as np

from .colours import colour_word, spread_hue
from .materials import banded, ceramic, dots, hsv, neutral


def bspline(pts, n=12):
    """Smooth curve that stays inside its control points and meets both ends."""
    p = np.asarray(pts, float)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    out = []
    for i in range(len(p) - 3):
        for t in np.arange(n) / n:
            w = (
                np.array(
                    [
                        (1 - t) ** 3,
                        3 * t**3 - 6 * t**2 + 4,
                        -3 * t**3 + 3 * t**2 + 3 * t + 1,
                        t**3,
                    ]
                )
                / 6
            )
            out.append(w @ p[i : i + 4])
    return np.array(out + [p[-2]])


def pick(options, instance, shift=0):
    """The option that is this instance's turn: neighbours never share one."""
    return options[(instance + shift) % len(options)]


def own_colour(r, i, offset, s=(0.5, 0.85), v=(0.5, 0.88)):
    """A strong colour whose hue no other instance of the class comes near."""
    return hsv(spread_hue(i, offset), r.uniform(*s), r.uniform(*v))


def other_colour(r, i, offset):
    """A colour that stands out against ``own_colour`` of the same instance."""
    if r.random() < 0.4:
        return neutral(r, (0.85, 0.95))
    return hsv(spread_hue(i, offset) + r.uniform(0.35, 0.6), 0.65, r.uniform(0.35, 0.9))


def glaze(r, H, i, offset):
    """A ceramic finish and the words for it, with ``{}`` for the thing's name."""
    base, second = own_colour(r, i, offset), other_colour(r, i, offset)
    kinds = ["plain", "band", "speckle", "dip", "dots", "band", "plain", "dip"]
    kind = pick(kinds, i, round(offset * 10))
    if kind == "plain" and r.random() < 0.4:
        base = r.choice([neutral(r, (0.8, 0.93)), hsv(0.6, 0.1, 0.13)])
    one, two = colour_word(base), colour_word(second)
    if kind == "plain":
        rough = r.uniform(0.08, 0.4)
        shine = "matt" if rough > 0.28 else "glossy"
        return ceramic(base, rough), f"{shine} {one} {{}}"
    if kind == "speckle":
        base = hsv(spread_hue(i, offset), r.uniform(0.15, 0.4), r.uniform(0.75, 0.9))
        return ceramic(base, 0.3, speckle=True), f"speckled {colour_word(base)} {{}}"
    if kind == "band":
        z, w = H * r.uniform(0.15, 0.65), H * r.uniform(0.08, 0.2)
        edges = [(z, z + w), (z + w * 1.3, z + w * 1.6)]
        material = banded(base, [second, second], edges)
        return material, f"glossy {one} {{}} with a {two} band"
    if kind == "dip":
        material = banded(
            base, [second], [(-1, H * r.uniform(0.3, 0.6))], wobble=H * 0.06
        )
        return material, f"{one} {{}} dipped in {two}"
    size = 1 / (H * r.uniform(0.16, 0.26))
    return dots(base, second, size, r.uniform(0.25, 0.4)), f"{one} {{}} with {two} dots"
