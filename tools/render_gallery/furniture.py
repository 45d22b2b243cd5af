"""Chairs and table lamps.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import numpy as np
from mathutils import Matrix, Vector

from .colours import colour_word
from .finishes import glaze, own_colour, pick
from .materials import (
    METALS,
    WOOD_WORDS,
    WOODS,
    N,
    fabric,
    hsv,
    leather,
    metal,
    neutral,
    plastic,
    wood,
)
from .mesh import box, grid, lathe, slab, spline, tube

pi = math.pi


def chair(r, i):
    """A chair with slats, rungs, spindles, a panel or cushions."""
    kind = pick(["slat", "metal", "ladder", "upholstered", "spindle", "panel"], i)
    paint = own_colour(r, i, 0.55)
    W, D, SH = r.uniform(0.4, 0.47), r.uniform(0.4, 0.46), r.uniform(0.43, 0.47)
    BH = r.uniform(0.38, 0.55)
    t = r.uniform(0.032, 0.045)
    pair, timber = pick(list(zip(WOODS, WOOD_WORDS, strict=True)), i, 1 + i // 6)
    sd = r.random() * 9
    if kind == "metal":
        frame = pick(["steel", "iron"], i // 6)
        fm = [metal(METALS[frame], 0.3)] * 3
        t = 0.022
        words = f"{frame} chair with {colour_word(paint)} cushions"
    elif kind in ("ladder", "panel"):
        fm = [plastic(paint, 0.4)] * 3
        words = f"{colour_word(paint)} painted chair"
    else:
        fm = [wood(pair, 1, k, 0.4, 0.15, sd) for k in range(3)]
        words = f"{timber} wooden chair"
        if kind == "upholstered":
            words += f" with {colour_word(paint)} cushions"
    fx, fy, fz = fm
    splay = r.choice([0, 0, 0.06])
    taper = r.choice([1, 0.65])
    lean = r.uniform(0.08, 0.16)

    def leg(x, y, ztop, dx, dy):
        tube(
            "leg",
            [(x + dx, y + dy, 0), (x, y, ztop)],
            [t / 2 * taper, t / 2],
            fz,
            res=5,
            smooth_path=False,
        ) if round_ else bar((x + dx, y + dy, 0), (x, y, ztop), t, fz)

    round_ = kind in ("spindle", "metal") or r.random() < 0.3

    def bar(p, q, th, m, tw=None):
        p, q = Vector(p), Vector(q)
        L = (q - p).length
        o = box("bar", (th, tw or th, L), (0, 0, 0), m, th * 0.12)
        d = (q - p).normalized()
        x = Vector((1, 0, 0))
        y = d.cross(x).normalized()
        x = y.cross(d)
        M = Matrix((x, y, d)).transposed().to_4x4()
        M.translation = (p + q) / 2
        o.matrix_world = M
        return o

    ix, iy = W / 2 - t / 2, D / 2 - t / 2
    for sx in (-1, 1):
        leg(sx * ix, -iy, SH - 0.01, sx * splay * 0.5, -splay * 0.5)
        leg(sx * ix, iy, SH - 0.01, sx * splay * 0.5, splay)
        p0, p1 = (sx * ix, iy, SH - 0.02), (sx * ix, iy + lean * BH * 1.6, SH + BH)
        if round_:
            tube(
                "post",
                [p0, ((p0[0]), iy + lean * BH * 0.6, SH + BH * 0.5), p1],
                [t / 2, t / 2, t / 2 * 0.85],
                fz,
                res=5,
            )
        else:
            bar(p0, p1, t, fz)
    # seat
    if kind in ("upholstered", "metal"):
        sm = fabric(paint, 700) if r.random() < 0.5 else leather(paint)
        th = r.uniform(0.045, 0.07)
        box("apron", (W - 0.01, D - 0.01, 0.04), (0, 0, SH - 0.03), fx, 0.004)
        box(
            "seat",
            (W + 0.01, D + 0.01, th),
            (0, 0, SH + th / 2 - 0.01),
            sm,
            th * 0.42,
            seg=5,
        )
    else:
        sm = None
        o = [
            (-W / 2 - 0.01, -D / 2 - 0.015),
            (W / 2 + 0.01, -D / 2 - 0.015),
            (W / 2 - 0.005, D / 2 + 0.01),
            (-W / 2 + 0.005, D / 2 + 0.01),
        ]
        slab("seat", o, SH - 0.005, SH + 0.022, [fx] * 3, 0.008)
        if not round_:
            for s in (-1, 1):
                bar(
                    (s * ix, -iy, SH - 0.04), (s * ix, iy, SH - 0.04), t * 0.5, fy, 0.06
                )
                bar(
                    (-ix, s * iy, SH - 0.04), (ix, s * iy, SH - 0.04), 0.06, fx, t * 0.5
                )
    if r.random() < 0.6:
        z = r.uniform(0.14, 0.24)
        for s in (-1, 1):
            tube(
                "st",
                [
                    (s * (ix + splay * 0.25), -iy - splay * 0.2, z),
                    (s * (ix + splay * 0.25), iy + splay * 0.4, z),
                ],
                t * 0.28,
                fy,
                smooth_path=False,
            )
        if r.random() < 0.6:
            tube("st", [(-ix, 0, z), (ix, 0, z)], t * 0.26, fx, smooth_path=False)

    def yb(z):
        return iy + lean * (z - SH) * 1.5

    def rail(z, h, m=fx, th=0.02, bow=0.02):
        [(-ix + ix * 2 * k / 8) for k in range(9)]

        def f(u, v):
            x = -ix + 2 * ix * u
            return (
                x,
                yb(z) + bow * (1 - (2 * u - 1) ** 2),
                z + (v - 0.5) * h + 0.01 * (1 - (2 * u - 1) ** 2),
            )

        o = grid("rail", f, 12, 3, m, thickness=th)
        o.modifiers[0].offset = 0
        b = o.modifiers.new("b", "BEVEL")
        b.width = 0.004
        b.segments = 2
        b.limit_method = "ANGLE"

    top = SH + BH - 0.03
    if kind == "ladder":
        for k in range(r.choice([3, 4])):
            rail(SH + BH * (0.3 + k * 0.22 if k < 3 else 0.95), BH * 0.1)
    elif kind in ("slat", "spindle"):
        rail(top, 0.07)
        rail(SH + 0.1, 0.035)
        n = r.choice([4, 5, 6, 7])
        for k in range(n):
            x = -ix + 2 * ix * (k + 1) / (n + 1)
            bo = 0.02 * (1 - (x / ix) ** 2)
            if kind == "spindle":
                tube(
                    "sp",
                    [(x, yb(SH + 0.1) + bo, SH + 0.1), (x, yb(top) + bo, top)],
                    0.008,
                    fz,
                    smooth_path=False,
                )
            else:
                bar(
                    (x, yb(SH + 0.1) + bo, SH + 0.1),
                    (x, yb(top) + bo, top),
                    0.03,
                    fz,
                    0.012,
                )
    elif kind == "panel":
        rail(SH + BH * 0.62, BH * 0.62, th=0.016)
    else:
        o = box("back", (2 * ix - 0.0, 0.045, BH * 0.62), (0, 0, 0), sm, 0.02, seg=5)
        z = SH + BH * 0.62
        o.location = (0, yb(z) - 0.005, z)
        o.rotation_euler = (-math.atan(lean * 1.5), 0, 0)
    return {"description": words}


def lamp(r, i):
    """A table lamp: foot, shade and bulb; every second one is lit."""
    kind = pick(["turned", "ball", "tripod", "stick"], i)
    H = r.uniform(0.22, 0.34)
    sr = r.uniform(0.12, 0.17)
    top = sr * r.choice([1, 0.75, 0.55])
    sh = r.uniform(0.17, 0.22)
    stuff = pick(["ceramic", "wooden", pick(["brass", "copper", "steel"], i // 3)], i)
    if stuff == "ceramic":
        bm, _ = glaze(r, H, i, 0.45)
    elif stuff == "wooden":
        bm = wood(pick(WOODS, i), 3, 2, 0.35, 0.3)
    else:
        bm = metal(METALS[stuff], 0.22)
    stands = {"ball": f"a {stuff} ball", "tripod": "three legs", "stick": "a thin stem"}
    mt = metal(METALS[r.choice(["brass", "steel", "iron"])], 0.25)
    if kind == "turned":
        q = (
            [(r.uniform(0.06, 0.085), 0.012)]
            + [(r.uniform(0.018, 0.075), H * z) for z in (0.15, 0.35, 0.6)]
            + [(r.uniform(0.014, 0.03), H * 0.85), (0.012, H)]
        )
        lathe(
            "base",
            [(0, 0), (q[0][0], 0), (q[0][0], 0.008)]
            + [tuple(p) for p in spline(q, 12)],
            bm,
            64,
        )
    elif kind == "ball":
        R = r.uniform(0.07, 0.1)
        lathe(
            "foot", [(0, 0), (R * 0.7, 0), (R * 0.7, 0.012), (R * 0.4, 0.014)], mt, 48
        )
        lathe(
            "ball",
            [
                (R * math.sin(a) * 1.0, 0.012 + R - R * math.cos(a))
                for a in np.linspace(0.25, pi - 0.12, 32)
            ],
            bm,
            64,
        )
        tube("neck", [(0, 0, 2 * R), (0, 0, H)], 0.007, mt, smooth_path=False)
    elif kind == "stick":
        lathe(
            "foot",
            [(0, 0), (0.085, 0), (0.085, 0.014), (0.08, 0.018), (0.012, 0.022)],
            bm,
            64,
        )
        tube(
            "stem",
            [(0, 0, 0.01), (0, 0, H)],
            r.uniform(0.006, 0.012),
            mt,
            smooth_path=False,
        )
    else:
        for k in range(3):
            a = k * 2 * pi / 3 + 0.5
            tube(
                "leg",
                [
                    (0.11 * math.cos(a), 0.11 * math.sin(a), 0),
                    (0.012 * math.cos(a), 0.012 * math.sin(a), H),
                ],
                [0.007, 0.01],
                wood(r.choice(WOODS), 3),
                smooth_path=False,
            )
        lathe("hub", [(0, H - 0.02), (0.022, H - 0.02), (0.022, H), (0, H)], mt, 32)
    z0 = H + 0.005
    col = neutral(r, (0.85, 0.93)) if i % 4 == 1 else own_colour(r, i, 0.1)
    on = i % 2 == 0
    n = N("shade")
    t = n.t
    out = t.nodes["Material Output"]
    n.coord()
    w = n.noise(n.coord((1, 1, 6)), 180, 3)
    pleat = r.random() < 0.35
    cc = n.mix(n.math("MULTIPLY", w, 0.25), col, tuple(x * 0.6 for x in col))
    n.bsdf(Base_Color=cc, Roughness=0.85)
    tr = t.nodes.new("ShaderNodeBsdfTranslucent")
    t.links.new(cc, tr.inputs[0])
    mx = t.nodes.new("ShaderNodeMixShader")
    mx.inputs[0].default_value = 0.45
    t.links.new(n.p.outputs[0], mx.inputs[1])
    t.links.new(tr.outputs[0], mx.inputs[2])
    t.links.new(mx.outputs[0], out.inputs[0])

    def f(u, v):
        a = u * 2 * pi
        rr = sr + (top - sr) * v + (0.004 * math.cos(40 * a) if pleat else 0)
        return (rr * math.cos(a), rr * math.sin(a), z0 - 0.02 + v * sh)

    grid("shade", f, 240 if pleat else 96, 12, n.mat, closed_u=True)
    for rr, z in ((sr, z0 - 0.02), (top, z0 - 0.02 + sh)):
        tube(
            "ring",
            [
                (rr * math.cos(a), rr * math.sin(a), z)
                for a in np.linspace(0, 2 * pi, 48, endpoint=False)
            ],
            0.0025,
            r.choice([plastic(col), mt]),
            closed=True,
            res=3,
        )
    tube("neck", [(0, 0, H - 0.01), (0, 0, H + 0.05)], 0.009, mt, smooth_path=False)
    b = N("bulb")
    b.bsdf(
        Base_Color=(0.9, 0.9, 0.9),
        Emission_Color=hsv(0.1, 0.35, 1),
        Emission_Strength=r.uniform(70, 90) if on else 0.0,
    )
    lathe(
        "bulb",
        [(0, H + 0.04)]
        + [
            (0.028 * math.sin(a), H + 0.078 - 0.028 * math.cos(a))
            for a in np.linspace(0.4, pi - 0.01, 12)
        ]
        + [(0, H + 0.106)],
        b.mat,
        24,
    )
    lit = "lit " if on else ""
    words = f"{lit}table lamp with a {colour_word(col)} shade"
    return {"description": f"{words} and {stands.get(kind, f'a {stuff} foot')}"}


CLASSES = {
    "chair": dict(build=chair, yaw=(-70, 70), elev=(8, 35)),
    "lamp": dict(build=lamp, elev=(0, 22)),
}
