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


def mug(r, i):
    """A mug with one of four outlines and three handles; the third ones are full."""
    H = r.uniform(0.085, 0.115)
    R = r.uniform(0.038, 0.046)
    w = 0.0035
    sh = pick(["straight", "round", "taper", "waist"], i)
    t = {
        "straight": [(0.97, 0), (1, 0.3), (1, 0.7), (1, 1)],
        "taper": [(0.78, 0), (0.86, 0.3), (0.95, 0.7), (1.02, 1)],
        "round": [(0.7, 0), (1.04, 0.3), (1.06, 0.6), (0.92, 1)],
        "waist": [(0.98, 0), (0.9, 0.4), (0.9, 0.65), (1.03, 1)],
    }[sh]
    out = spline([(R * a, 0.003 + b * (H - 0.003)) for a, b in t], 10)
    foot = [
        (0, 0.002),
        (R * t[0][0] * 0.8, 0.002),
        (R * t[0][0] * 0.86, 0),
        (R * t[0][0] * 0.95, 0.0006),
    ]
    inn = [(max(p[0] - w, 0.001), max(p[1], 0.007)) for p in out[::-1]]
    prof = (
        foot
        + [tuple(p) for p in out]
        + [(out[-1][0] - w * 0.5, H + 0.0018)]
        + inn
        + [(inn[-1][0] * 0.8, 0.0055), (0, 0.005)]
    )
    m, words = glaze(r, H, i, 0.0)
    inner = m if r.random() < 0.5 else ceramic(neutral(r, (0.8, 0.95)), 0.15)
    n_out = len(foot) + len(out)
    lathe("mug", prof, [m, inner], 72, lambda k: 0 if k < n_out else 1, 60)
    # handle: in the xz plane at +x
    z0, z1 = H * r.uniform(0.16, 0.26), H * r.uniform(0.76, 0.88)
    D = R * r.uniform(0.62, 0.85)

    def ro(z):
        return float(np.interp(z, out[:, 1], out[:, 0]))

    hk = pick(["D", "ear", "square"], i)
    if hk == "D":
        pts = [
            (ro(z1) - 0.002, z1),
            (R + D * 0.6, z1 + 0.002),
            (R + D, (z0 + z1) / 2 + 0.004),
            (R + D * 0.6, z0),
            (ro(z0) - 0.002, z0),
        ]
    elif hk == "ear":
        pts = [
            (ro(z1) - 0.002, z1 - 0.004),
            (R + D * 0.7, z1 + 0.006),
            (R + D * 1.05, z1 * 0.75),
            (R + D * 0.55, z0 * 1.3),
            (ro(z0) - 0.002, z0),
        ]
    else:
        pts = [
            (ro(z1) - 0.002, z1),
            (R + D * 0.75, z1),
            (R + D * 0.95, z1 - 0.006),
            (R + D * 0.95, z0 + 0.006),
            (R + D * 0.75, z0),
            (ro(z0) - 0.002, z0),
        ]
    tube("handle", [(x, 0, z) for x, z in pts], r.uniform(0.0042, 0.006), m, res=6)
    if i % 3 == 1:  # coffee or tea
        rr = float(np.interp(H * 0.8, out[:, 1], out[:, 0])) - w * 0.7
        lathe(
            "drink",
            [(0, H * 0.8), (rr, H * 0.8)],
            N("coffee").bsdf(
                Base_Color=r.choice(
                    [(0.02, 0.008, 0.003), (0.25, 0.12, 0.05), (0.15, 0.04, 0.01)]
                ),
                Roughness=0.05,
            ),
            48,
        )
        return {"description": words.format("mug of coffee")}
    return {"description": words.format("mug")}


def bottle(r, i):
    """A wine, beer, water or sauce bottle with a label."""
    kind = pick(["wine", "sauce", "beer", "water"], i)
    paper = own_colour(r, i, 0.3)
    if kind == "wine":
        R, H = r.uniform(0.036, 0.041), r.uniform(0.29, 0.32)
        sl = r.choice([0.60, 0.66])
        p = (
            [(0, 0.012), (R * 0.6, 0.006), (R * 0.9, 0), (R, 0.008), (R, H * sl)]
            + [
                tuple(q)
                for q in spline(
                    [
                        (R, H * sl),
                        (R * 0.9, H * (sl + 0.07)),
                        (R * 0.42, H * (sl + 0.15)),
                        (R * 0.36, H * 0.85),
                        (R * 0.36, H * 0.96),
                    ],
                    8,
                )[1:]
            ]
            + [
                (R * 0.42, H * 0.965),
                (R * 0.42, H * 0.985),
                (R * 0.36, H * 0.99),
                (R * 0.30, H),
            ]
        )
        g, tint = pick(
            [((0.05, 0.22, 0.06), "green"), ((0.22, 0.08, 0.02), "brown")], i // 4
        )
        body = glass(g)
        words = f"{tint} glass wine bottle with a {colour_word(paper)} label"
        lathe("b", p, [body], 64, smooth=40)
        liq = r.choice([(0.25, 0.01, 0.02), (0.85, 0.7, 0.25), (0.9, 0.3, 0.25)])
        lathe(
            "liq",
            [
                (0, 0.016),
                (R - 0.004, 0.012),
                (R - 0.004, H * sl * r.uniform(0.85, 1)),
                (0, H * sl),
            ],
            glass(liq, ior=1.33),
            48,
        )
        cap = r.choice(
            [
                metal(METALS["gold"], 0.3),
                plastic(any_color(r, (0.5, 0.9), (0.15, 0.6)), 0.3),
                plastic((0.01, 0.01, 0.012), 0.3),
            ]
        )
        lathe(
            "cap",
            [
                (R * 0.38, H * 0.80),
                (R * 0.39, H * 0.80),
                (R * 0.39, H * 0.96),
                (R * 0.44, H * 0.962),
                (R * 0.44, H * 0.99),
                (R * 0.40, H * 1.003),
                (0, H * 1.004),
            ],
            cap,
            48,
        )
        label(
            r,
            R + 0.0006,
            H * r.uniform(0.13, 0.2),
            H * r.uniform(0.42, 0.52),
            paper,
            other_colour(r, i, 0.3),
        )
    elif kind == "beer":
        R, H = 0.031, r.uniform(0.22, 0.24)
        p = (
            [(0, 0.008), (R * 0.85, 0), (R, 0.006), (R, H * 0.52)]
            + [
                tuple(q)
                for q in spline(
                    [
                        (R, H * 0.52),
                        (R * 0.9, H * 0.62),
                        (R * 0.5, H * 0.75),
                        (R * 0.42, H * 0.95),
                    ],
                    8,
                )[1:]
            ]
            + [(R * 0.48, H * 0.955), (R * 0.48, H * 0.97), (R * 0.4, H * 0.985)]
        )
        lathe(
            "b",
            p,
            glass(pick([(0.35, 0.12, 0.02), (0.06, 0.3, 0.08)], i // 4)),
            64,
            smooth=40,
        )
        lathe(
            "liq",
            [
                (0, 0.012),
                (R - 0.003, 0.010),
                (R - 0.003, H * 0.5),
                (R * 0.42, H * 0.74),
                (0, H * 0.74),
            ],
            glass((0.9, 0.5, 0.08), ior=1.33),
            48,
        )
        lathe(
            "cap",
            [
                (R * 0.52, H * 0.965),
                (R * 0.54, H * 0.968),
                (R * 0.46, H * 1.0),
                (0, H * 1.005),
            ],
            metal(r.choice([METALS["gold"], METALS["steel"], any_color(r)]), 0.3),
            24,
        )
        label(r, R + 0.0005, H * 0.14, H * 0.45, paper, neutral(r, (0.8, 0.95)))
        tint = pick(["brown", "green"], i // 4)
        words = f"{tint} beer bottle with a {colour_word(paper)} label"
    elif kind == "water":
        R, H = r.uniform(0.030, 0.036), r.uniform(0.2, 0.25)
        zz = np.linspace(0.01, H * 0.68, 60)
        rib = [(R * (1 - 0.05 * (math.cos(z / H * 2 * pi * 9) > 0.3)), z) for z in zz]
        p = (
            [(0, 0.012), (R * 0.7, 0.002), (R * 0.9, 0), (R, 0.008)]
            + rib
            + [
                tuple(q)
                for q in spline(
                    [
                        (R, H * 0.69),
                        (R * 0.95, H * 0.76),
                        (R * 0.5, H * 0.88),
                        (R * 0.36, H * 0.91),
                        (R * 0.36, H * 0.95),
                    ],
                    6,
                )
            ]
        )
        tint = pick([(0.75, 0.9, 1), (0.92, 0.97, 1)], i // 4)
        lathe("b", p, glass(tint, 0.02, 1.3), 64, smooth=60)
        c = paper
        words = f"clear water bottle with a {colour_word(c)} cap and label"
        lathe(
            "cap",
            [
                (R * 0.42, H * 0.92),
                (R * 0.43, H * 0.92),
                (R * 0.43, H * 0.995),
                (R * 0.38, H),
                (0, H),
            ],
            plastic(c, 0.35),
            32,
        )
        label(r, R + 0.0008, H * 0.32, H * 0.58, c, (0.9, 0.9, 0.9))
    else:
        R, H = r.uniform(0.03, 0.035), r.uniform(0.17, 0.2)
        c = pick([hsv(0.0, 0.85, 0.75), hsv(0.13, 0.85, 0.9)], i // 4)
        words = f"{colour_word(c)} plastic sauce bottle with a white label"
        p = [(0, 0.004), (R * 0.9, 0), (R, 0.006)] + [
            tuple(q)
            for q in spline(
                [
                    (R, 0.01),
                    (R * 1.02, H * 0.2),
                    (R * 0.9, H * 0.45),
                    (R * 1.0, H * 0.62),
                    (R * 0.8, H * 0.72),
                    (R * 0.45, H * 0.78),
                ],
                8,
            )
        ]
        lathe("b", p, plastic(c, 0.25, 0.3), 64)
        lathe(
            "cap",
            [
                (R * 0.5, H * 0.775),
                (R * 0.52, H * 0.78),
                (R * 0.5, H * 0.87),
                (R * 0.2, H * 0.9),
                (R * 0.1, H),
                (0, H),
            ],
            plastic(r.choice([(0.85, 0.85, 0.85), c, (0.05, 0.3, 0.08)]), 0.3),
            40,
            smooth=40,
        )
        label(r, R * 1.03, H * 0.2, H * 0.55, neutral(r, (0.85, 0.95)), any_color(r))
    return {"description": words}


def label(r, R, z0, z1, col, ink):
    """Paper label: a cylinder band with blocks of ink, so that it reads as print."""
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
    out = spline(
        [
            (R * 0.62, 0.004),
            (R * 0.9, H * 0.15),
            (R, H * belly),
            (R * 0.86, H * 0.75),
            (R * top, H * 0.97),
        ],
        10,
    )
    lathe(
        "body",
        [(0, 0.003), (R * 0.5, 0.003), (R * 0.55, 0), (R * 0.62, 0.001)]
        + [tuple(p) for p in out]
        + [(R * top - 0.002, H)],
        m,
        72,
    )

    def ro(z):
        return float(np.interp(z, out[:, 1], out[:, 0]))

    k = r.uniform(0.04, 0.12)
    lathe(
        "lid",
        [(R * top + 0.003, H - 0.001), (R * top + 0.003, H + 0.002)]
        + [
            tuple(p)
            for p in spline(
                [
                    (R * top, H + 0.003),
                    (R * top * 0.8, H + R * k * 1.3),
                    (R * top * 0.3, H + R * k * 2.2),
                    (0, H + R * k * 2.3),
                ],
                8,
            )
        ],
        m,
        64,
    )
    zk = H + R * k * 2.2
    kr = R * r.uniform(0.11, 0.16)
    knob = m if r.random() < 0.6 else wood(r.choice(WOODS), 6)
    lathe(
        "knob",
        [(kr * 0.5, zk - 0.002), (kr * 0.45, zk + kr * 0.4)]
        + [
            tuple(p)
            for p in spline(
                [
                    (kr * 0.5, zk + kr * 0.5),
                    (kr, zk + kr * 1.1),
                    (kr * 0.7, zk + kr * 1.8),
                    (0, zk + kr * 2),
                ],
                6,
            )
        ],
        knob,
        32,
    )
    zs = H * r.uniform(0.28, 0.4)
    L = R * r.uniform(0.75, 1.0)
    P = [
        (ro(zs) - 0.01, 0, zs),
        (R + L * 0.35, 0, zs + H * 0.06),
        (R + L * 0.62, 0, zs + H * 0.33),
        (R + L * 0.85, 0, H * 0.92),
        (R + L * 1.0, 0, H * 1.0),
    ]
    tube("spout", P, [R * 0.24, R * 0.19, R * 0.13, R * 0.095, R * 0.09], m, cap=False)
    if r.random() < 0.7:
        z1, z0 = H * 0.82, H * 0.25
        tube(
            "handle",
            [
                (-ro(z1) + 0.004, 0, z1),
                (-R * 1.45, 0, H * 0.98),
                (-R * 1.72, 0, H * 0.68),
                (-R * 1.45, 0, H * 0.3),
                (-ro(z0) + 0.004, 0, z0),
            ],
            [R * 0.085, R * 0.08, R * 0.075, R * 0.07, R * 0.06],
            m,
        )
    else:
        hm = r.choice(
            [
                metal(METALS["steel"], 0.3),
                wood(r.choice(WOODS), 5, 0),
                plastic((0.02, 0.02, 0.02)),
            ]
        )
        ra = R * 0.78
        tube(
            "handle",
            [
                (ra * math.cos(a), 0, H * 0.85 + R * 1.1 * math.sin(a))
                for a in np.linspace(0, pi, 9)
            ],
            R * 0.055,
            hm,
        )
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
