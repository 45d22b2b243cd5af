"""Books, guitars and sneakers.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import bpy
import numpy as np
from mathutils import Matrix

from .colours import colour_word
from .finishes import other_colour, own_colour, pick
from .materials import (
    METALS,
    WOODS,
    N,
    any_color,
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


def _between(n, value, low, high):
    """A node that is 1 where the value lies between two limits."""
    above, below = n.math("GREATER_THAN", value, low), n.math("LESS_THAN", value, high)
    return n.math("MULTIPLY", above, below)


def _cover(r, colour, W, L):
    """Cloth of one colour with lines of ink for title and author, and a ring."""
    ink = r.choice([METALS["gold"], neutral(r, (0.8, 0.95))])
    n = N("cover")
    x, y, _ = n.xyz(n.coord())
    col = colour
    for half, low, high in [(0.3, 0.22, 0.30), (0.2, 0.14, 0.17), (0.15, -0.40, -0.37)]:
        across = _between(n, x, -W * half, W * half)
        line = n.math("MULTIPLY", across, _between(n, y, L * low, L * high))
        col = n.mix(line, col, ink)
    squares = [
        n.math("POWER", x, 2.0),
        n.math("POWER", n.math("ADD", y, L * 0.12), 2.0),
    ]
    radius = n.math("SQRT", n.math("ADD", *squares))
    ring = _between(n, radius, W * r.uniform(0, 0.15), W * 0.26)
    col = n.mix(ring, col, any_color(r))
    weave = n.bump(n.noise(n.coord(), 900, 2), 0.2, 0.0004)
    return n.bsdf(Base_Color=col, Roughness=r.uniform(0.3, 0.7), Normal=weave)


def _pages():
    n = N("pages")
    leaves = n.noise(n.coord((1, 1, 900)), 3, 2)
    colour = n.mix(leaves, (0.80, 0.76, 0.66), (0.5, 0.46, 0.38))
    return n.bsdf(Base_Color=colour, Roughness=0.9)


def _spine(W, L, T, cover):
    """The rounded back of a book."""

    def surface(u, v):
        return -W / 2 - 0.004 * math.sin(pi * v), (u - 0.5) * L, (v - 0.5) * T

    return grid("spine", surface, 2, 12, cover, thickness=0.0025)


def book(r, i):
    """One closed book or a stack of two or three."""
    n = pick([1, 3, 1, 2], i)
    z = 0
    for k in range(n):
        W, L, T = r.uniform(0.12, 0.17), r.uniform(0.18, 0.24), r.uniform(0.018, 0.045)
        turn = r.uniform(-0.2, 0.2) if n > 1 else 0
        c = own_colour(r, i + 5 * k, 0.2, (0.5, 0.9), (0.3, 0.8))
        cover = _cover(r, c, W, L)
        place = (r.uniform(-0.01, 0.01) * k, r.uniform(-0.01, 0.01) * k, z + T / 2)
        pages = (W - 0.005, L - 0.008, T - 0.0054)
        parts = [
            box("cover", (W, L, 0.0028), (0, 0, s * (T / 2 - 0.0014)), cover, 0.0008)
            for s in (-1, 1)
        ]
        parts += [
            _spine(W, L, T, cover),
            box("pages", pages, (-0.001, 0, 0), _pages()),
        ]
        move = Matrix.Translation(place) @ Matrix.Rotation(turn, 4, "Z")
        bpy.context.view_layer.update()
        for part in parts:
            part.matrix_world = move @ part.matrix_world
        z += T + 0.0002
    words = f"{colour_word(c)} book"
    if n > 1:
        words = f"stack of {('two', 'three')[n - 2]} books with a {words} on top"
    return {"description": words}


def guitar(r, i):
    """An acoustic or electric guitar; built lying on its back, then stood up."""
    kind = pick(["acoustic", "electric"], i)
    ac = kind == "acoustic"
    if ac:
        BL = 0.49
        hw = [
            (0, 0),
            (0.006, 0.09),
            (0.05, 0.165),
            (0.13, 0.19),
            (0.21, 0.168),
            (0.275, 0.125),
            (0.34, 0.118),
            (0.405, 0.142),
            (0.455, 0.125),
            (0.485, 0.07),
            (0.49, 0),
        ]
        half = spline([(y, x) for x, y in hw], 8)
        thick = 0.1
        out = [(x, z) for x, z in half] + [(-x, z) for x, z in half[-2:0:-1]]
    else:
        pts = [
            (0, 0),
            (0.09, 0.006),
            (0.155, 0.06),
            (0.165, 0.13),
            (0.135, 0.2),
            (0.125, 0.25),
            (0.15, 0.32),
            (0.165, 0.39),
            (0.14, 0.40),
            (0.1, 0.345),
            (0.06, 0.325),
            (0.035, 0.33),
            (-0.035, 0.33),
            (-0.07, 0.33),
            (-0.10, 0.36),
            (-0.15, 0.43),
            (-0.175, 0.41),
            (-0.16, 0.33),
            (-0.125, 0.25),
            (-0.135, 0.19),
            (-0.165, 0.12),
            (-0.15, 0.05),
            (-0.085, 0.004),
        ]
        out = [tuple(p) for p in spline(pts, 8, closed=True)]
        thick = 0.042
        BL = 0.37
    # built lying: x right, y = along neck, z = up (front face); then stood up
    n = N("top")
    v = n.coord()
    burst = i % 4 == 2
    pair, timber = pick(
        [
            (WOODS[3], "pale"),
            (((0.6, 0.27, 0.07), (0.42, 0.16, 0.04)), "honey-coloured"),
            (WOODS[4], "reddish brown"),
            (WOODS[0], "brown"),
        ],
        i // 2,
    )
    words = f"{timber} acoustic guitar" + " with a dark rim" * burst
    if ac:
        g = n.noise(n.coord((90, 1.2, 1)), 1.5, 3, 0.5, 0.3)
        c = n.mix(g, *pair)
        if burst:
            x, y, z = n.xyz(v)
            d = n.math(
                "SQRT",
                n.math(
                    "ADD",
                    n.math("POWER", n.math("MULTIPLY", x, 1.15), 2.0),
                    n.math(
                        "POWER",
                        n.math("MULTIPLY", n.math("SUBTRACT", y, 0.21), 0.8),
                        2.0,
                    ),
                ),
            )
            c = n.mix(
                n.ramp(d, [(0.09, (0, 0, 0)), (0.2, (1, 1, 1))]),
                c,
                (0.05, 0.012, 0.004),
            )
        top = n.bsdf(Base_Color=c, Roughness=0.25, Coat_Weight=0.8, Coat_Roughness=0.05)
    else:
        c = own_colour(r, i, 0.35, (0.65, 0.95), (0.4, 0.9))
        words = f"{colour_word(c)} electric guitar"
        top = n.bsdf(Base_Color=c, Roughness=0.2, Coat_Weight=1.0, Coat_Roughness=0.03)
    sidem = (
        wood(r.choice([WOODS[4], WOODS[2], WOODS[0]]), 1.4, 1, 0.3, 0.7) if ac else top
    )
    bind = plastic(r.choice([(0.85, 0.8, 0.65), (0.02, 0.02, 0.02)]), 0.3)
    rim = 0.004 if ac else 0.009
    wood_of = [sidem, sidem, top]
    objs = [slab("body", out, 0, thick, wood_of, rim, idx=(0, 1, 2))]
    o = np.array(out)
    T = thick
    objs.append(
        tube(
            "bind",
            np.c_[o * 0.997, np.full(len(o), T - 0.001)],
            0.0028,
            bind,
            closed=True,
            res=3,
            smooth_path=False,
        )
    ) if ac else None

    def disc(R, z, m, y):
        return objs.append(_shift(lathe("d", [(0, z), (R, z)], m, 48), (0, y, 0)))

    NW = 0.024
    NL = 0.28 if ac else 0.32
    y0 = BL - 0.01
    dark = wood(WOODS[2], 2, 1, 0.4)
    if ac:
        hy = 0.325
        disc(0.066, T + 0.0004, plastic((0.03, 0.02, 0.015), 0.4), hy)
        disc(0.060, T + 0.0006, plastic((0.75, 0.65, 0.45), 0.4), hy)
        disc(0.055, T + 0.0008, plastic((0.03, 0.02, 0.015), 0.4), hy)
        disc(0.050, T + 0.001, plastic((0.004, 0.003, 0.002), 1), hy)
        objs.append(
            box("bridge", (0.16, 0.03, 0.009), (0, 0.155, T + 0.0045), dark, 0.002)
        )
        objs.append(
            box(
                "saddle",
                (0.075, 0.003, 0.006),
                (0, 0.16, T + 0.011),
                plastic((0.85, 0.82, 0.7), 0.3),
                0.001,
            )
        )
        if r.random() < 0.6:
            pg = [
                (0.05, hy + 0.02),
                (0.062, hy - 0.03),
                (0.095, hy - 0.1),
                (0.075, hy - 0.13),
                (0.035, hy - 0.085),
                (0.03, hy - 0.05),
            ]
            objs.append(
                slab(
                    "pick",
                    spline(pg, 6, closed=True),
                    T,
                    T + 0.0012,
                    [plastic((0.02, 0.012, 0.008), 0.15)] * 3,
                )
            )
        yb, ytop = 0.16, BL + NL
        fstart = hy + 0.055
    else:
        pgc = plastic(r.choice([(0.85, 0.85, 0.82), (0.02, 0.02, 0.02)]), 0.2)
        pg = [
            (0.115, 0.08),
            (0.13, 0.14),
            (0.1, 0.2),
            (0.095, 0.26),
            (0.12, 0.33),
            (0.07, 0.31),
            (-0.03, 0.31),
            (-0.09, 0.32),
            (-0.11, 0.36),
            (-0.13, 0.34),
            (-0.09, 0.25),
            (-0.05, 0.2),
            (0.02, 0.12),
            (0.06, 0.06),
        ]
        objs.append(
            slab(
                "pg",
                spline([(x * 0.92, y) for x, y in pg], 6, closed=True),
                T,
                T + 0.002,
                [pgc] * 3,
                0.0006,
            )
        )
        pk = plastic(r.choice([(0.02, 0.02, 0.02), (0.85, 0.85, 0.8)]), 0.3)
        for y in (0.17, 0.225, 0.28):
            objs.append(
                box(
                    "pu",
                    (0.08, 0.02, 0.008),
                    (0, y, T + 0.005),
                    pk,
                    0.006,
                    rot=(0, 0, 0.15 if y < 0.2 else 0),
                )
            )
        objs.append(
            box(
                "bridge",
                (0.08, 0.04, 0.01),
                (0, 0.125, T + 0.006),
                metal(METALS["steel"], 0.2),
                0.003,
            )
        )
        for k in range(3):
            objs.append(
                _shift(
                    lathe(
                        "knob",
                        [(0.011, 0), (0.011, 0.008), (0.009, 0.012), (0, 0.012)],
                        r.choice([pk, metal(METALS["steel"])]),
                        24,
                    ),
                    (0.075 + 0.012 * k, 0.135 - 0.033 * k, T + 0.002),
                )
            )
        yb, ytop = 0.13, BL + NL
        fstart = 0.31
    # neck, fretboard
    nm = wood(r.choice([WOODS[3], WOODS[0], WOODS[4]]), 1.5, 1, 0.3, 0.5)
    zt = T + 0.004
    objs.append(
        box(
            "neck",
            (NW * 2, ytop - y0 + 0.04, 0.022),
            (0, (ytop + y0) / 2 - 0.02, zt - 0.010),
            nm,
            0.006,
        )
    )
    fb = dark if r.random() < 0.7 else nm
    objs.append(
        box(
            "fb",
            (NW * 2 + 0.002, ytop - fstart, 0.006),
            (0, (ytop + fstart) / 2, zt + 0.003),
            fb,
            0.001,
        )
    )
    sc = ytop - yb
    fm = metal(METALS["steel"], 0.2)
    inlay = plastic((0.85, 0.85, 0.8), 0.3)
    for k in range(1, 20):
        y = ytop - sc * (1 - 2 ** (-k / 12))
        if y < fstart + 0.004:
            break
        objs.append(box("fret", (NW * 2, 0.002, 0.002), (0, y, zt + 0.0067), fm))
        if k in (3, 5, 7, 9, 12):
            y2 = ytop - sc * (1 - 2 ** (-(k - 0.5) / 12))
            objs.append(
                _shift(
                    lathe("in", [(0, zt + 0.0063), (0.005, zt + 0.0063)], inlay, 16),
                    (0, y2, 0),
                )
            )
    objs.append(box("nut", (NW * 2, 0.004, 0.009), (0, ytop, zt + 0.005), inlay))
    # headstock
    if ac:
        hs = [
            (-NW, 0),
            (-0.037, 0.035),
            (-0.034, 0.16),
            (-0.015, 0.172),
            (0, 0.165),
            (0.015, 0.172),
            (0.034, 0.16),
            (0.037, 0.035),
            (NW, 0),
        ]
    else:
        hs = [
            (-NW, 0),
            (-0.045, 0.03),
            (-0.035, 0.10),
            (-0.028, 0.16),
            (-0.01, 0.185),
            (0.015, 0.18),
            (0.02, 0.15),
            (0.022, 0.06),
            (NW, 0),
        ]
    h = slab(
        "head", hs, -0.007, 0.007, [nm, nm, dark if ac else nm], 0.002, idx=(0, 1, 2)
    )
    h.location = (0, ytop, zt)
    h.rotation_euler = (-0.15, 0, 0)
    objs.append(h)
    pm = metal(METALS[r.choice(["steel", "gold"])], 0.2)
    pegs = []
    for k in range(6):
        if ac:
            sx = -1 if k < 3 else 1
            y = 0.04 + (k % 3) * 0.045
            x = sx * 0.022
            ox = sx * 0.05
        else:
            sx = -1
            y = 0.025 + k * 0.025
            x = -0.024 + k * 0.003
            ox = x - 0.035
        zz = zt + 0.008 - y * 0.15
        objs.append(
            tube(
                "post",
                [(x, ytop + y, zz - 0.01), (x, ytop + y, zz + 0.008)],
                0.0035,
                pm,
                smooth_path=False,
            )
        )
        pegs.append((x, ytop + y, zz + 0.004))
        objs.append(
            tube(
                "pegs",
                [(x, ytop + y, zz - 0.012), (ox, ytop + y, zz - 0.012)],
                0.002,
                pm,
                smooth_path=False,
            )
        )
        objs.append(
            box(
                "peg",
                (0.012, 0.018, 0.006),
                (ox, ytop + y, zz - 0.012),
                pm if not ac else inlay,
                0.0025,
            )
        )
    sm_ = metal(METALS["steel"], 0.3)
    order = [0, 1, 2, 5, 4, 3] if ac else range(6)
    for k, pk_ in zip(range(6), order, strict=False):
        fx = -0.85 + 1.7 * k / 5
        objs.append(
            tube(
                "string",
                [
                    (fx * 0.034, yb, T + 0.013 if ac else T + 0.014),
                    (fx * NW * 0.85, ytop, zt + 0.010),
                    pegs[pk_],
                ],
                0.0007 + 0.0002 * (5 - k) / 5,
                sm_,
                res=2,
                smooth_path=False,
                cap=False,
            )
        )
    # stand it up on a stand: +y becomes up, the front faces -y and leans back
    lean = r.uniform(0.10, 0.2)
    M = Matrix.Translation((0, 0, 0.07)) @ Matrix.Rotation(pi / 2 - lean, 4, "X")
    bpy.context.view_layer.update()
    for ob in objs:
        if ob:
            ob.matrix_world = M @ ob.matrix_world
    st = plastic((0.015, 0.015, 0.015), 0.4)
    for s in (-1, 1):
        tube(
            "stand",
            [
                (s * 0.20, -0.12, 0.01),
                (s * 0.14, 0.0, 0.05),
                (s * 0.13, 0.13, 0.16),
                (s * 0.05, 0.22, 0.30),
            ],
            0.009,
            st,
        )
        tube(
            "hook",
            [
                (s * 0.13, 0.09, 0.12),
                (s * 0.13, -0.04, 0.06),
                (s * 0.13, -0.13, 0.055),
                (s * 0.13, -0.14, 0.085),
            ],
            0.009,
            st,
        )
        tube(
            "rear",
            [(s * 0.05, 0.22, 0.30), (s * 0.10, 0.34, 0.01)],
            0.009,
            st,
            smooth_path=False,
        )
    tube(
        "cross", [(-0.14, 0.09, 0.12), (0.14, 0.09, 0.12)], 0.008, st, smooth_path=False
    )
    return {"description": f"{words} on a stand"}


def _shift(ob, loc):
    ob.location = loc
    return ob


def sneaker(r, i):
    """A low or high shoe: a surface from the sole's outline to the collar, and trim.

    ``u`` runs once round the outline from the toe, ``s`` from the sole to the collar.
    """
    high = i % 4 == 2
    sc = r.uniform(0.95, 1.03)
    kind = pick(["runner", "canvas", "court"], i)
    foot = (
        np.array(
            [
                (0.288, 0.004),
                (0.276, 0.026),
                (0.245, 0.041),
                (0.20, 0.047),
                (0.145, 0.040),
                (0.09, 0.034),
                (0.045, 0.033),
                (0.015, 0.024),
                (0, 0),
                (0.015, -0.026),
                (0.045, -0.034),
                (0.09, -0.033),
                (0.145, -0.035),
                (0.20, -0.043),
                (0.245, -0.037),
                (0.276, -0.020),
            ]
        )
        * sc
    )
    C = spline(foot, 12, closed=True)
    arc = np.r_[0, np.cumsum(np.linalg.norm(np.diff(np.r_[C, C[:1]], axis=0), axis=1))]
    arc /= arc[-1]

    def out2d(u, off=0.0):
        u %= 1
        p = np.array([np.interp(u, arc, np.r_[C[:, k], C[:1, k]]) for k in (0, 1)])
        e = 0.004
        q = np.array(
            [np.interp((u + e) % 1, arc, np.r_[C[:, k], C[:1, k]]) for k in (0, 1)]
        ) - np.array(
            [np.interp((u - e) % 1, arc, np.r_[C[:, k], C[:1, k]]) for k in (0, 1)]
        )
        nrm = np.array([q[1], -q[0]])
        nrm /= np.linalg.norm(nrm) + 1e-9
        return p + nrm * off

    def spring(x):
        return 0.013 * max(0, (x - 0.2) / 0.085) ** 2

    heelh = {"runner": 0.034, "court": 0.028, "canvas": 0.025}[kind]
    toeh = {"runner": 0.022, "court": 0.024, "canvas": 0.023}[kind]

    def sole_top(x):
        return toeh + (heelh - toeh) * np.clip((0.2 - x) / 0.15, 0, 1) + spring(x)

    top_front = 0.108 if not high else 0.138
    mid = 0.072 if not high else 0.118
    back = 0.092 if not high else 0.135
    cx, ax, by = (0.066, 0.050, 0.031)

    def collar(psi):
        x = cx + ax * math.cos(psi) - (0.006 if high else 0)
        y = by * math.sin(psi)
        z = (
            mid
            + (top_front - mid) * max(0, math.cos(psi)) ** 1.4
            + (back - mid) * max(0, -math.cos(psi)) ** 1.6
        )
        return np.array([x, y, z]) * np.array([sc, sc, 1])

    def side(u):  # signed fraction from toe, -1..1
        return u if u <= 0.5 else u - 1

    def upper(u, s, off=0.0):
        sg = side(u)
        k = abs(sg) * 2
        a2 = out2d(u, -0.004 + off)
        A = np.array([*a2, sole_top(a2[0]) - 0.006])
        psi = math.copysign(pi * k**1.55, sg if sg != 0 else 1)
        B = collar(psi)
        fr = max(0, math.cos(pi * k)) ** 0.8
        n2 = out2d(u, 1.0) - out2d(u, 0.0)
        n2 = np.array([*n2, 0])
        P1 = A + n2 * (0.006 * (1 - fr) + 0.004) + np.array([0, 0, 0.030 + 0.012 * fr])
        P2 = (
            B
            + np.array([0.085 * fr, 0, -0.03 - 0.012 * fr])
            + n2 * 0.012 * (1 - fr) * np.array([1, 1, 0])
        )
        t = s
        p = (
            (1 - t) ** 3 * A
            + 3 * (1 - t) ** 2 * t * P1
            + 3 * (1 - t) * t * t * P2
            + t**3 * B
        )
        return p

    base = own_colour(r, i, 0.6, (0.6, 0.9), (0.4, 0.85))
    acc = other_colour(r, i, 0.6)
    if i % 4 == 3:
        base, acc = r.choice([neutral(r, (0.8, 0.92)), (0.015, 0.015, 0.018)]), base
    solec = r.choice([(0.8, 0.79, 0.75)] * 3 + [hsv(0.1, 0.5, 0.6)])
    style = {"runner": "running shoe", "court": "sneaker", "canvas": "canvas sneaker"}
    words = f"{'high-top ' if high else ''}{colour_word(base)} {style[kind]}"
    words += f" with {colour_word(acc)} details"
    um = {
        "runner": lambda c: fabric(c, 900, 0.8, 0.6),
        "court": lambda c: leather(c, 300, 0.4),
        "canvas": lambda c: fabric(c, 600, 0.95, 0.7),
    }[kind]
    mats = [
        um(base),
        leather(acc, 300, 0.4),
        um(r.choice([base, neutral(r, (0.3, 0.9))])),
        plastic((0.85, 0.84, 0.8), 0.4),
    ]
    stripes = pick([2, 0, 3, 1], i)
    grid(
        "upper",
        lambda u, v: upper(u, v),
        110,
        30,
        mats,
        closed_u=True,
        thickness=0.004,
        subsurf=1,
    )

    def kk(k):
        return (k / 2) % 1  # k in (-1, 1): 0 toe, +-1 heel

    def patch(k0, k1, s0, s1, m, off=0.0009):
        """A panel sewn on the upper, from k0(s) to k1(s) and from s0(t) to s1(t)."""

        def f(u, v):
            sa, sb = s0(u), s1(u)
            q = sa + (sb - sa) * v
            k = k0(q) + (k1(q) - k0(q)) * u
            e = 0.004
            P = np.array(upper(kk(k), q))
            du = np.array(upper(kk(k + e), q)) - P
            dv = np.array(upper(kk(k), min(q + e, 1))) - np.array(
                upper(kk(k), max(q - e, 0))
            )
            n_ = np.cross(du, dv)
            n_ /= np.linalg.norm(n_) + 1e-12
            if n_ @ np.array([0, math.sin(pi * k), 0.6]) < 0:
                n_ = -n_
            return P + n_ * off

        grid("panel", f, 36, 20, m, thickness=0.0012, subsurf=1)

    def at(x):
        return lambda t: x

    pm = mats[1]
    if kind == "canvas":
        patch(
            at(-0.30),
            at(0.30),
            at(0.02),
            lambda t: 0.28 + 0.16 * (1 - (2 * t - 1) ** 2),
            mats[3],
        )
    else:
        patch(
            at(-0.42),
            at(0.42),
            at(0.02),
            lambda t: 0.16 + 0.20 * (1 - (2 * t - 1) ** 2),
            pm if kind == "runner" else mats[2],
        )
    patch(
        lambda q: 0.84 + 0.05 * q,
        lambda q: 1.16 - 0.05 * q,
        at(0.02),
        lambda t: 0.97,
        pm,
    )
    for sg in (1, -1):
        patch(
            lambda q, sg=sg: sg * (0.085 if q < 0.8 else 0.08) - sg * 0.035,
            lambda q, sg=sg: sg * (0.14 + 0.05 * (1 - q)),
            lambda t: 0.47,
            lambda t: 0.985,
            pm if r.random() < 0.5 else mats[0],
        )
    if kind != "canvas":
        w = {1: 0.10, 2: 0.05, 3: 0.04}.get(stripes, 0)
        for j in range(stripes):
            c0 = 0.42 + 0.085 * j
            for sg in (1, -1):
                patch(
                    lambda q, near=c0, sg=sg: sg * (near + 0.12 * (1 - q)),
                    lambda q, far=c0 + w, sg=sg: sg * (far + 0.12 * (1 - q)),
                    at(0.04),
                    at(0.86),
                    pm,
                )
    if not (kind == "canvas"):
        tube(
            "pad",
            [np.array(upper(u, 0.985)) for u in np.linspace(0.06, 0.94, 40)],
            0.0048,
            mats[0] if r.random() < 0.5 else mats[2],
            res=5,
        )
    # insole
    ins = [out2d(u, -0.008) for u in np.linspace(0, 1, 80, endpoint=False)]
    slab(
        "insole",
        ins,
        heelh - 0.004,
        heelh + 0.002,
        [plastic(neutral(r, (0.2, 0.6)), 0.9)] * 3,
    )
    # sole: stacked offsets
    prof = [
        (-0.006, 0),
        (-0.001, 0.001),
        (0.0035, 0.006),
        (0.0045, 0.5),
        (0.0035, 0.92),
        (0.0005, 1.0),
        (-0.006, 1.02),
    ]

    def sole(u, v):
        k = v * (len(prof) - 1)
        a = int(min(k, len(prof) - 2))
        f = k - a
        off = prof[a][0] * (1 - f) + prof[a + 1][0] * f
        zz = prof[a][1] * (1 - f) + prof[a + 1][1] * f
        if prof[a][1] in (0, 0.001, 0.006) and zz < 0.01:
            pass
        p = out2d(u, off * (1.4 if kind == "runner" else 1))
        z0 = spring(p[0]) * 0.95
        return (
            p[0],
            p[1],
            z0 + (sole_top(p[0]) - z0) * (zz if zz > 0.0061 else zz / 0.03),
        )

    band = r.random() < 0.6
    sm = [
        plastic(solec, 0.5),
        plastic(acc, 0.5),
        plastic(r.choice([(0.02, 0.02, 0.02), hsv(0.1, 0.5, 0.5), solec]), 0.6),
    ]
    grid(
        "sole",
        sole,
        200,
        43,
        sm,
        closed_u=True,
        mat_fn=lambda u, v: 2 if v < 0.33 else (1 if band and 0.55 < v < 0.62 else 0),
        smooth=40,
    )
    slab(
        "bottom",
        [out2d(u, -0.006) for u in np.linspace(0, 1, 100, endpoint=False)],
        0.0005,
        0.004,
        [sm[2]] * 3,
    )
    # tongue
    tm = um(r.choice([base, acc, base]))
    ct = collar(0.0)
    d = np.array(upper(0, 0.97)) - np.array(upper(0, 0.72))
    d /= np.linalg.norm(d)
    d = d * 0.5 + np.array([0.3, 0, 1.0])
    d /= np.linalg.norm(d)

    def tongue(u, v):
        w = 0.021 * (1 - 0.12 * v)
        x = 2 * (u - 0.5)
        p = upper(0, 0.60) * (1 - v) + (ct + d * 0.017 + np.array([-0.004, 0, 0.0])) * v
        return (
            p[0] - 0.010 * x * x * v,
            x * w * (1 - 0.25 * max(0, v - 0.85) / 0.15),
            p[2] - 0.010 * x * x * (1 - v) - 0.004 * x * x + 0.002,
        )

    grid("tongue", tongue, 16, 14, tm, thickness=0.005, subsurf=1)
    # laces
    lc = plastic(
        r.choice([(0.85, 0.85, 0.85), (0.85, 0.85, 0.85), acc, (0.02, 0.02, 0.02)]),
        0.85,
    )
    rows = 5 if not high else 7
    hw = 0.075

    def e(sg, s, o):
        return np.array(upper((sg * hw * (1.0 if s < 0.8 else 0.9)) % 1, s)) + np.array(
            [0.35 * o, 0, o + 0.0015]
        )

    ss = np.linspace(0.52, 0.96, rows)
    for k, s in enumerate(ss):
        a, b = e(1, s, 0.002), e(-1, s, 0.002)
        m = (a + b) / 2
        top = np.array(upper(0, s))
        mz = np.array([max(m[0], top[0]) + 0.002, 0, max(m[2], top[2]) + 0.0075])
        if kind == "canvas" or k in (0,):
            tube(
                "lace",
                [
                    a,
                    (a + mz) / 2 + np.array([0.001, 0, 0.002]),
                    mz,
                    (b + mz) / 2 + np.array([0.001, 0, 0.002]),
                    b,
                ],
                0.0026,
                lc,
                res=4,
            )
        if k + 1 < rows:
            for sg in (1, -1):
                a2, b2 = e(sg, s, 0.003), e(-sg, ss[k + 1], 0.003)
                tm_ = np.array(upper(0, (s + ss[k + 1]) / 2)) + np.array(
                    [0.002, 0, 0.0085 + 0.001 * sg]
                )
                tube(
                    "lace",
                    [
                        a2,
                        tm_ + np.array([0, a2[1] * 0.45, -0.001]),
                        tm_,
                        tm_ + np.array([0, b2[1] * 0.45, -0.001]),
                        b2,
                    ],
                    0.0026,
                    lc,
                    res=4,
                )
        for sg in (1, -1):
            q = e(sg * 1.04, s, 0.001)
            t2 = [
                q
                + 0.0036 * np.array([math.cos(x) * 0.6, math.sin(x), math.cos(x) * 0.5])
                for x in np.linspace(0, 2 * pi, 14, endpoint=False)
            ]
            tube("eye", t2, 0.0009, metal(METALS["steel"], 0.3), closed=True, res=3)
    ctop = np.array(upper(0, 0.97)) + np.array([0.003, 0, 0.008])
    for sg in (1, -1):  # bow
        tube(
            "bow",
            [
                ctop,
                ctop + np.array([0.012, sg * 0.014, 0.008]),
                ctop + np.array([0.018, sg * 0.032, -0.006]),
                ctop + np.array([0.012, sg * 0.024, -0.010]),
                ctop + np.array([0.002, sg * 0.006, -0.001]),
            ],
            0.0023,
            lc,
            res=4,
        )
        tube(
            "end",
            [
                ctop,
                ctop + np.array([0.014, sg * 0.012, 0.002]),
                ctop + np.array([0.026, sg * 0.022, -0.014]),
                ctop + np.array([0.033, sg * 0.03, -0.026]),
            ],
            0.0022,
            lc,
            res=4,
        )
    return {"description": words}


CLASSES = {
    "book": dict(build=book, yaw=(-60, 60), elev=(25, 65)),
    "guitar": dict(build=guitar, yaw=(-55, 55), elev=(3, 28)),
    "sneaker": dict(build=sneaker, yaw=(-75, 30), elev=(10, 45)),
}
