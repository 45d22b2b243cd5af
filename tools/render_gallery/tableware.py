"""Mugs, bottles, teapots and vases.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import numpy as np

from .colours import colour_word
from .finishes import bspline, glaze, other_colour, own_colour, pick
from .materials import (
    METALS,
    WOODS,
    N,
    any_color,
    ceramic,
    glass,
    hsv,
    metal,
    neutral,
    plastic,
    wood,
)
from .mesh import grid, lathe, spline, tube

pi = math.pi


def _curve(points, n):
    """A smooth curve through points, as tuples."""
    return [tuple(p) for p in spline(points, n)]


MUGS = {
    "straight": [(0.97, 0), (1, 0.3), (1, 0.7), (1, 1)],
    "taper": [(0.78, 0), (0.86, 0.3), (0.95, 0.7), (1.02, 1)],
    "round": [(0.7, 0), (1.04, 0.3), (1.06, 0.6), (0.92, 1)],
    "waist": [(0.98, 0), (0.9, 0.4), (0.9, 0.65), (1.03, 1)],
}
WALL = 0.0035  # of a mug


def mug(r, i):
    """A mug with one of four outlines and three handles; the third ones are full."""
    H = r.uniform(0.085, 0.115)
    R = r.uniform(0.038, 0.046)
    t = MUGS[pick(["straight", "round", "taper", "waist"], i)]
    out = spline([(R * a, 0.003 + b * (H - 0.003)) for a, b in t], 10)
    bottom = R * t[0][0]
    foot = [(0, 0.002), (bottom * 0.8, 0.002), (bottom * 0.86, 0)]
    foot.append((bottom * 0.95, 0.0006))
    inn = [(max(p[0] - WALL, 0.001), max(p[1], 0.007)) for p in out[::-1]]
    prof = (
        foot
        + [tuple(p) for p in out]
        + [(out[-1][0] - WALL * 0.5, H + 0.0018)]
        + inn
        + [(inn[-1][0] * 0.8, 0.0055), (0, 0.005)]
    )
    m, words = glaze(r, H, i, 0.0)
    inner = m if r.random() < 0.5 else ceramic(neutral(r, (0.8, 0.95)), 0.15)
    n_out = len(foot) + len(out)
    lathe("mug", prof, [m, inner], 72, lambda k: 0 if k < n_out else 1, 60)
    path = _mug_handle(r, out, R, pick(["D", "ear", "square"], i))
    tube("handle", [(x, 0, z) for x, z in path], r.uniform(0.0042, 0.006), m, res=6)
    if i % 3 != 1:
        return {"description": words.format("mug")}
    rr = float(np.interp(H * 0.8, out[:, 1], out[:, 0])) - WALL * 0.7
    n = N("coffee")
    drinks = [(0.02, 0.008, 0.003), (0.25, 0.12, 0.05), (0.15, 0.04, 0.01)]
    drink = n.bsdf(Base_Color=r.choice(drinks), Roughness=0.05)
    lathe("drink", [(0, H * 0.8), (rr, H * 0.8)], drink, 48)
    return {"description": words.format("mug of coffee")}


def _mug_handle(r, out, R, kind):
    """The handle's path in the xz plane at +x, of a mug of this outline."""
    H = out[-1][1]
    z0, z1 = H * r.uniform(0.16, 0.26), H * r.uniform(0.76, 0.88)
    D = R * r.uniform(0.62, 0.85)
    low, high = (float(np.interp(z, out[:, 1], out[:, 0])) for z in (z0, z1))
    if kind == "D":
        middle = [
            (high - 0.002, z1),
            (R + D * 0.6, z1 + 0.002),
            (R + D, (z0 + z1) / 2 + 0.004),
            (R + D * 0.6, z0),
        ]
    elif kind == "ear":
        middle = [
            (high - 0.002, z1 - 0.004),
            (R + D * 0.7, z1 + 0.006),
            (R + D * 1.05, z1 * 0.75),
            (R + D * 0.55, z0 * 1.3),
        ]
    else:
        middle = [
            (high - 0.002, z1),
            (R + D * 0.75, z1),
            (R + D * 0.95, z1 - 0.006),
            (R + D * 0.95, z0 + 0.006),
            (R + D * 0.75, z0),
        ]
    return [*middle, (low - 0.002, z0)]


def bottle(r, i):
    """A wine, beer, water or sauce bottle with a label."""
    build = pick([_wine, _sauce, _beer, _water], i)
    return {"description": build(r, i, own_colour(r, i, 0.3))}


def _wine(r, i, paper):
    """Glass, wine, a capsule over the cork, and a label."""
    R, H = r.uniform(0.036, 0.041), r.uniform(0.29, 0.32)
    sl = r.choice([0.60, 0.66])
    shoulder = [
        (R, H * sl),
        (R * 0.9, H * (sl + 0.07)),
        (R * 0.42, H * (sl + 0.15)),
        (R * 0.36, H * 0.85),
        (R * 0.36, H * 0.96),
    ]
    rim = [(0.42, 0.965), (0.42, 0.985), (0.36, 0.99)]
    outline = (
        [(0, 0.012), (R * 0.6, 0.006), (R * 0.9, 0), (R, 0.008), (R, H * sl)]
        + _curve(shoulder, 8)[1:]
        + [*((R * a, H * b) for a, b in rim), (R * 0.30, H)]
    )
    tints = [((0.05, 0.22, 0.06), "green"), ((0.22, 0.08, 0.02), "brown")]
    colour, tint = pick(tints, i // 4)
    lathe("b", outline, [glass(colour)], 64, smooth=40)
    wine = r.choice([(0.25, 0.01, 0.02), (0.85, 0.7, 0.25), (0.9, 0.3, 0.25)])
    full = H * sl * r.uniform(0.85, 1)
    inside = [(0, 0.016), (R - 0.004, 0.012), (R - 0.004, full), (0, H * sl)]
    lathe("liq", inside, glass(wine, ior=1.33), 48)
    caps = [
        metal(METALS["gold"], 0.3),
        plastic(any_color(r, (0.5, 0.9), (0.15, 0.6)), 0.3),
        plastic((0.01, 0.01, 0.012), 0.3),
    ]
    capsule = [(0.38, 0.80), (0.39, 0.80), (0.39, 0.96), (0.44, 0.962), (0.44, 0.99)]
    capsule += [(0.40, 1.003), (0, 1.004)]
    lathe("cap", [(R * a, H * b) for a, b in capsule], r.choice(caps), 48)
    span = H * r.uniform(0.13, 0.2), H * r.uniform(0.42, 0.52)
    label(r, R + 0.0006, span, paper, other_colour(r, i, 0.3))
    return f"{tint} glass wine bottle with a {colour_word(paper)} label"


def _beer(r, i, paper):
    """Glass, beer, a crown cap and a label."""
    R, H = 0.031, r.uniform(0.22, 0.24)
    shoulder = [(1, 0.52), (0.9, 0.62), (0.5, 0.75), (0.42, 0.95)]
    rim = [(0.48, 0.955), (0.48, 0.97), (0.4, 0.985)]
    outline = (
        [(0, 0.008), (R * 0.85, 0), (R, 0.006), (R, H * 0.52)]
        + _curve([(R * a, H * b) for a, b in shoulder], 8)[1:]
        + [(R * a, H * b) for a, b in rim]
    )
    colour = pick([(0.35, 0.12, 0.02), (0.06, 0.3, 0.08)], i // 4)
    lathe("b", outline, glass(colour), 64, smooth=40)
    inside = [(0, 0.012), (R - 0.003, 0.010), (R - 0.003, H * 0.5)]
    inside += [(R * 0.42, H * 0.74), (0, H * 0.74)]
    lathe("liq", inside, glass((0.9, 0.5, 0.08), ior=1.33), 48)
    crown = [(0.52, 0.965), (0.54, 0.968), (0.46, 1.0), (0, 1.005)]
    cap = metal(r.choice([METALS["gold"], METALS["steel"], any_color(r)]), 0.3)
    lathe("cap", [(R * a, H * b) for a, b in crown], cap, 24)
    label(r, R + 0.0005, (H * 0.14, H * 0.45), paper, neutral(r, (0.8, 0.95)))
    tint = pick(["brown", "green"], i // 4)
    return f"{tint} beer bottle with a {colour_word(paper)} label"


def _water(r, i, paper):
    """Ribbed clear plastic, a cap and a label of one colour."""
    R, H = r.uniform(0.030, 0.036), r.uniform(0.2, 0.25)
    heights = np.linspace(0.01, H * 0.68, 60)
    ribs = [(R * (1 - 0.05 * (math.cos(z / H * 2 * pi * 9) > 0.3)), z) for z in heights]
    shoulder = [(1, 0.69), (0.95, 0.76), (0.5, 0.88), (0.36, 0.91), (0.36, 0.95)]
    outline = (
        [(0, 0.012), (R * 0.7, 0.002), (R * 0.9, 0), (R, 0.008)]
        + ribs
        + _curve([(R * a, H * b) for a, b in shoulder], 6)
    )
    tint = pick([(0.75, 0.9, 1), (0.92, 0.97, 1)], i // 4)
    lathe("b", outline, glass(tint, 0.02, 1.3), 64, smooth=60)
    cap = [(0.42, 0.92), (0.43, 0.92), (0.43, 0.995), (0.38, 1), (0, 1)]
    lathe("cap", [(R * a, H * b) for a, b in cap], plastic(paper, 0.35), 32)
    label(r, R + 0.0008, (H * 0.32, H * 0.58), paper, (0.9, 0.9, 0.9))
    return f"clear water bottle with a {colour_word(paper)} cap and label"


def _sauce(r, i, paper):
    """A squeezed waist and a pointed cap."""
    R, H = r.uniform(0.03, 0.035), r.uniform(0.17, 0.2)
    colour = pick([hsv(0.0, 0.85, 0.75), hsv(0.13, 0.85, 0.9)], i // 4)
    side = [(1.02, 0.2), (0.9, 0.45), (1.0, 0.62), (0.8, 0.72), (0.45, 0.78)]
    points = [(R, 0.01), *((R * a, H * b) for a, b in side)]
    outline = [(0, 0.004), (R * 0.9, 0), (R, 0.006), *_curve(points, 8)]
    lathe("b", outline, plastic(colour, 0.25, 0.3), 64)
    cap = [(0.5, 0.775), (0.52, 0.78), (0.5, 0.87), (0.2, 0.9), (0.1, 1), (0, 1)]
    mat = plastic(r.choice([(0.85, 0.85, 0.85), colour, (0.05, 0.3, 0.08)]), 0.3)
    lathe("cap", [(R * a, H * b) for a, b in cap], mat, 40, smooth=40)
    white = neutral(r, (0.85, 0.95))
    label(r, R * 1.03, (H * 0.2, H * 0.55), white, any_color(r))
    return f"{colour_word(colour)} plastic sauce bottle with a white label"


def label(r, R, span, col, ink):
    """Paper label: a cylinder band with blocks of ink, so that it reads as print."""
    z0, z1 = span
    n = N("label")
    v = n.coord()
    x, y, z = n.xyz(v)
    ang = n.math("MULTIPLY", n.math("ARCTAN2", x, n.math("MULTIPLY", y, -1.0)), R)
    h = z1 - z0
    zc = n.math("DIVIDE", n.math("SUBTRACT", z, z0), h)

    def rect(a0, a1, b0, b1):
        f = n.math(
            "MULTIPLY", n.math("GREATER_THAN", ang, a0), n.math("LESS_THAN", ang, a1)
        )
        return n.math(
            "MULTIPLY",
            f,
            n.math(
                "MULTIPLY", n.math("GREATER_THAN", zc, b0), n.math("LESS_THAN", zc, b1)
            ),
        )

    W = R * r.uniform(0.7, 1.0)
    c = n.mix(rect(-W, W, 0.62, 0.82), col, ink)
    c = n.mix(rect(-W * 0.6, W * 0.6, 0.50, 0.55), c, ink)
    c = n.mix(
        n.math(
            "MAXIMUM", n.math("GREATER_THAN", zc, 0.94), n.math("LESS_THAN", zc, 0.06)
        ),
        c,
        ink,
    )
    d = n.math(
        "SQRT",
        n.math(
            "ADD",
            n.math("POWER", ang, 2.0),
            n.math("POWER", n.math("MULTIPLY", n.math("SUBTRACT", zc, 0.3), h), 2.0),
        ),
    )
    c = n.mix(n.math("LESS_THAN", d, h * 0.13), c, any_color(r))
    a0, a1 = (-pi, pi) if r.random() < 0.5 else (-pi / 2 - 1.3, -pi / 2 + 1.3)
    full = a1 - a0 > 6
    grid(
        "label",
        lambda u, v: (
            R * math.cos(a0 + (a1 - a0) * u),
            R * math.sin(a0 + (a1 - a0) * u),
            z0 + v * h,
        ),
        64,
        2,
        n.bsdf(Base_Color=c, Roughness=0.45),
        closed_u=full,
    )


def _lid(r, R, H, top):
    """Outlines of a teapot's lid and of its knob."""
    k = r.uniform(0.04, 0.12)
    dome = [
        (R * top, H + 0.003),
        (R * top * 0.8, H + R * k * 1.3),
        (R * top * 0.3, H + R * k * 2.2),
        (0, H + R * k * 2.3),
    ]
    rim = [(R * top + 0.003, H - 0.001), (R * top + 0.003, H + 0.002)]
    return rim + _curve(dome, 8), H + R * k * 2.2


def _knob(r, R, z, m):
    kr = R * r.uniform(0.11, 0.16)
    mat = m if r.random() < 0.6 else wood(r.choice(WOODS), 6)
    ball = [
        (kr * 0.5, z + kr * 0.5),
        (kr, z + kr * 1.1),
        (kr * 0.7, z + kr * 1.8),
        (0, z + kr * 2),
    ]
    stem = [(kr * 0.5, z - 0.002), (kr * 0.45, z + kr * 0.4)]
    lathe("knob", stem + _curve(ball, 6), mat, 32)


def _teapot_handle(r, R, H, ro, m):
    """Behind, of the pot's own stuff, or above, of another."""
    if r.random() < 0.7:
        z1, z0 = H * 0.82, H * 0.25
        path = [
            (-ro(z1) + 0.004, 0, z1),
            (-R * 1.45, 0, H * 0.98),
            (-R * 1.72, 0, H * 0.68),
            (-R * 1.45, 0, H * 0.3),
            (-ro(z0) + 0.004, 0, z0),
        ]
        thick = [R * 0.085, R * 0.08, R * 0.075, R * 0.07, R * 0.06]
        tube("handle", path, thick, m)
        return
    other = [
        metal(METALS["steel"], 0.3),
        wood(r.choice(WOODS), 5, 0),
        plastic((0.02, 0.02, 0.02)),
    ]
    other = r.choice(other)
    path = [
        (R * 0.78 * math.cos(a), 0, H * 0.85 + R * 1.1 * math.sin(a))
        for a in np.linspace(0, pi, 9)
    ]
    tube("handle", path, R * 0.055, other)


def teapot(r, i):
    """A teapot with lid and spout and a handle behind or above."""
    R = r.uniform(0.07, 0.085)
    H = R * r.uniform(1.15, 1.6)
    if i % 4 == 3:
        kind = pick(["copper", "steel"], i // 4)
        m, words = metal(METALS[kind], 0.2), f"{kind} {{}}"
    else:
        m, words = glaze(r, H, i, 0.15)
    top = r.uniform(0.42, 0.55)
    belly = r.uniform(0.3, 0.5)
    side = [(0.9, 0.15), (1, belly), (0.86, 0.75), (top, 0.97)]
    out = spline([(R * 0.62, 0.004), *((R * a, H * b) for a, b in side)], 10)
    foot = [(0, 0.003), (R * 0.5, 0.003), (R * 0.55, 0), (R * 0.62, 0.001)]
    body = foot + [tuple(p) for p in out] + [(R * top - 0.002, H)]
    lathe("body", body, m, 72)

    def ro(z):
        return float(np.interp(z, out[:, 1], out[:, 0]))

    lid, height = _lid(r, R, H, top)
    lathe("lid", lid, m, 64)
    _knob(r, R, height, m)
    zs = H * r.uniform(0.28, 0.4)
    L = R * r.uniform(0.75, 1.0)
    path = [
        (ro(zs) - 0.01, 0, zs),
        (R + L * 0.35, 0, zs + H * 0.06),
        (R + L * 0.62, 0, zs + H * 0.33),
        (R + L * 0.85, 0, H * 0.92),
        (R + L * 1.0, 0, H * 1.0),
    ]
    thick = [R * 0.24, R * 0.19, R * 0.13, R * 0.095, R * 0.09]
    tube("spout", path, thick, m, cap=False)
    _teapot_handle(r, R, H, ro, m)
    return {"description": words.format("teapot")}


def vase(r, i):
    """A ceramic or glass vase with one of five outlines."""
    H = r.uniform(0.18, 0.32)
    w = 0.004
    shapes = [
        [0.35, 0.75, 1, 0.7, 0.38, 0.5],
        [0.5, 0.6, 0.8, 1, 0.7, 0.55],
        [0.4, 1, 0.8, 0.4, 0.35, 0.55],
        [0.55, 0.95, 1, 0.8, 0.45, 0.35],
        [0.5, 0.8, 1, 0.5, 0.35, 0.8],
    ]
    prof = pick(shapes, i)
    R = H * r.uniform(0.26, 0.4)
    prof = [p * r.uniform(0.92, 1.08) for p in prof]
    out = bspline(
        [(R * p, 0.003 + (H - 0.003) * k / 5) for k, p in enumerate(prof)], 12
    )
    inn = [(max(p[0] - w, 0.002), max(p[1], 0.01)) for p in out[::-1]]
    if i % 4 == 3:
        tint = pick([(0.25, 0.5, 0.9), (0.95, 0.45, 0.2)], i // 4)
        m, words = glass(tint), f"{colour_word(tint)} glass {{}}"
    else:
        m, words = glaze(r, H, i, 0.75)
    lathe(
        "vase",
        [(0, 0.002), (R * prof[0] * 0.9, 0)]
        + [tuple(p) for p in out]
        + [(out[-1][0] - w / 2, H + 0.002)]
        + inn
        + [(0, 0.008)],
        m,
        80,
    )
    return {"description": words.format("vase")}


CLASSES = {
    "mug": dict(build=mug, yaw=(-60, 45), elev=(12, 50)),
    "bottle": dict(build=bottle, yaw=(-60, 60), elev=(3, 28)),
    "teapot": dict(build=teapot, yaw=(-50, 45), elev=(10, 42)),
    "vase": dict(build=vase, elev=(5, 35)),
}
