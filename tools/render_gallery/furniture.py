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


def _bar(p, q, thick, material, wide=None):
    """A square bar from p to q."""
    p, q = Vector(p), Vector(q)
    size = (thick, wide or thick, (q - p).length)
    bar = box("bar", size, (0, 0, 0), material, thick * 0.12)
    d = (q - p).normalized()
    x = Vector((1, 0, 0))
    y = d.cross(x).normalized()
    x = y.cross(d)
    M = Matrix((x, y, d)).transposed().to_4x4()
    M.translation = (p + q) / 2
    bar.matrix_world = M
    return bar


class _Chair:
    """The measures of one chair, what it is made of, and its pieces."""

    def __init__(self, r, i):
        self.r = r
        self.kind = pick(
            ["slat", "metal", "ladder", "upholstered", "spindle", "panel"], i
        )
        self.paint = own_colour(r, i, 0.55)
        self.W, self.D = r.uniform(0.4, 0.47), r.uniform(0.4, 0.46)
        self.seat, self.back = r.uniform(0.43, 0.47), r.uniform(0.38, 0.55)
        self.t = r.uniform(0.032, 0.045)
        woods = list(zip(WOODS, WOOD_WORDS, strict=True))
        pair, timber = pick(woods, i, 1 + i // 6)
        self.choose_material(i, pair, timber, r.random() * 9)
        self.splay = r.choice([0, 0, 0.06])
        self.taper = r.choice([1, 0.65])
        self.lean = r.uniform(0.08, 0.16)
        self.round = self.kind in ("spindle", "metal") or r.random() < 0.3
        self.ix, self.iy = self.W / 2 - self.t / 2, self.D / 2 - self.t / 2
        self.top = self.seat + self.back - 0.03

    def choose_material(self, i, pair, timber, seed):
        """The frame's material along each axis, and the words for the chair."""
        paint = colour_word(self.paint)
        if self.kind == "metal":
            frame = pick(["steel", "iron"], i // 6)
            self.frame = [metal(METALS[frame], 0.3)] * 3
            self.t = 0.022
            self.words = f"{frame} chair with {paint} cushions"
        elif self.kind in ("ladder", "panel"):
            self.frame = [plastic(self.paint, 0.4)] * 3
            self.words = f"{paint} painted chair"
        else:
            self.frame = [wood(pair, 1, k, 0.4, 0.15, seed) for k in range(3)]
            self.words = f"{timber} wooden chair"
            if self.kind == "upholstered":
                self.words += f" with {paint} cushions"

    def leg(self, foot, head):
        """A leg, round or square."""
        fz, t = self.frame[2], self.t
        if self.round:
            thick = [t / 2 * self.taper, t / 2]
            tube("leg", [foot, head], thick, fz, res=5, smooth_path=False)
        else:
            _bar(foot, head, t, fz)

    def legs_and_posts(self):
        """Front legs, hind legs and the posts of the back, left and right."""
        ix, iy, SH, BH, t = self.ix, self.iy, self.seat, self.back, self.t
        for sx in (-1, 1):
            x, out, up = sx * ix, sx * self.splay * 0.5, SH - 0.01
            self.leg((x + out, -iy + -self.splay * 0.5, 0), (x, -iy, up))
            self.leg((x + out, iy + self.splay, 0), (x, iy, up))
            p0, p1 = (x, iy, SH - 0.02), (x, iy + self.lean * BH * 1.6, SH + BH)
            if self.round:
                middle = (x, iy + self.lean * BH * 0.6, SH + BH * 0.5)
                thick = [t / 2, t / 2, t / 2 * 0.85]
                tube("post", [p0, middle, p1], thick, self.frame[2], res=5)
            else:
                _bar(p0, p1, t, self.frame[2])

    def cushion(self):
        """An upholstered seat; returns its cloth."""
        r, W, D, SH = self.r, self.W, self.D, self.seat
        cloth = fabric(self.paint, 700) if r.random() < 0.5 else leather(self.paint)
        th = r.uniform(0.045, 0.07)
        apron, place = (W - 0.01, D - 0.01, 0.04), (0, 0, SH - 0.03)
        box("apron", apron, place, self.frame[0], 0.004)
        size, place = (W + 0.01, D + 0.01, th), (0, 0, SH + th / 2 - 0.01)
        box("seat", size, place, cloth, th * 0.42, seg=5)
        return cloth

    def board(self):
        """A seat of wood, with an apron unless the legs are round."""
        W, D, SH, ix, iy = self.W, self.D, self.seat, self.ix, self.iy
        fx, fy, _ = self.frame
        outline = [
            (-W / 2 - 0.01, -D / 2 - 0.015),
            (W / 2 + 0.01, -D / 2 - 0.015),
            (W / 2 - 0.005, D / 2 + 0.01),
            (-W / 2 + 0.005, D / 2 + 0.01),
        ]
        slab("seat", outline, SH - 0.005, SH + 0.022, [fx] * 3, 0.008)
        if self.round:
            return
        z, thin = SH - 0.04, self.t * 0.5
        for s in (-1, 1):
            _bar((s * ix, -iy, z), (s * ix, iy, z), thin, fy, 0.06)
            _bar((-ix, s * iy, z), (ix, s * iy, z), 0.06, fx, thin)

    def rungs(self):
        """Perhaps a rung on either side, and perhaps one across."""
        r, ix, iy, splay = self.r, self.ix, self.iy, self.splay
        if r.random() >= 0.6:
            return
        z = r.uniform(0.14, 0.24)
        for s in (-1, 1):
            x = s * (ix + splay * 0.25)
            rung = [(x, -iy - splay * 0.2, z), (x, iy + splay * 0.4, z)]
            tube("st", rung, self.t * 0.28, self.frame[1], smooth_path=False)
        if r.random() < 0.6:
            across = [(-ix, 0, z), (ix, 0, z)]
            tube("st", across, self.t * 0.26, self.frame[0], smooth_path=False)

    def behind(self, z):
        """Where the leaning back is at a height."""
        return self.iy + self.lean * (z - self.seat) * 1.5

    def rail(self, z, h, thick=0.02):
        """A bowed board between the posts."""

        def f(u, v):
            bow = 1 - (2 * u - 1) ** 2
            x = -self.ix + 2 * self.ix * u
            return x, self.behind(z) + 0.02 * bow, z + (v - 0.5) * h + 0.01 * bow

        o = grid("rail", f, 12, 3, self.frame[0], thickness=thick)
        o.modifiers[0].offset = 0
        b = o.modifiers.new("b", "BEVEL")
        b.width = 0.004
        b.segments = 2
        b.limit_method = "ANGLE"

    def slats(self):
        """Slats or spindles between two rails."""
        low, high = self.seat + 0.1, self.top
        self.rail(high, 0.07)
        self.rail(low, 0.035)
        n = self.r.choice([4, 5, 6, 7])
        for k in range(n):
            x = -self.ix + 2 * self.ix * (k + 1) / (n + 1)
            bow = 0.02 * (1 - (x / self.ix) ** 2)
            p, q = ((x, self.behind(z) + bow, z) for z in (low, high))
            if self.kind == "spindle":
                tube("sp", [p, q], 0.008, self.frame[2], smooth_path=False)
            else:
                _bar(p, q, 0.03, self.frame[2], 0.012)

    def padded_back(self, cloth):
        """A cushion between the posts."""
        size = (2 * self.ix - 0.0, 0.045, self.back * 0.62)
        o = box("back", size, (0, 0, 0), cloth, 0.02, seg=5)
        z = self.seat + self.back * 0.62
        o.location = (0, self.behind(z) - 0.005, z)
        o.rotation_euler = (-math.atan(self.lean * 1.5), 0, 0)


def chair(r, i):
    """A chair with slats, rungs, spindles, a panel or cushions."""
    c = _Chair(r, i)
    c.legs_and_posts()
    padded = c.kind in ("upholstered", "metal")
    cloth = c.cushion() if padded else c.board()
    c.rungs()
    if padded:
        c.padded_back(cloth)
    elif c.kind == "ladder":
        for k in range(r.choice([3, 4])):
            height = 0.3 + k * 0.22 if k < 3 else 0.95
            c.rail(c.seat + c.back * height, c.back * 0.1)
    elif c.kind == "panel":
        c.rail(c.seat + c.back * 0.62, c.back * 0.62, 0.016)
    else:
        c.slats()
    return {"description": c.words}


def _lamp_stuff(r, i, H):
    """The foot's material and its word."""
    stuff = pick(["ceramic", "wooden", pick(["brass", "copper", "steel"], i // 3)], i)
    if stuff == "ceramic":
        return glaze(r, H, i, 0.45)[0], stuff
    if stuff == "wooden":
        return wood(pick(WOODS, i), 3, 2, 0.35, 0.3), stuff
    return metal(METALS[stuff], 0.22), stuff


def _foot(r, kind, H, body, fittings):
    """What the lamp stands on, up to its height."""
    if kind == "turned":
        q = [
            (r.uniform(0.06, 0.085), 0.012),
            *((r.uniform(0.018, 0.075), H * z) for z in (0.15, 0.35, 0.6)),
            (r.uniform(0.014, 0.03), H * 0.85),
            (0.012, H),
        ]
        turned = [tuple(p) for p in spline(q, 12)]
        outline = [(0, 0), (q[0][0], 0), (q[0][0], 0.008), *turned]
        lathe("base", outline, body, 64)
    elif kind == "ball":
        R = r.uniform(0.07, 0.1)
        foot = [(0, 0), (R * 0.7, 0), (R * 0.7, 0.012), (R * 0.4, 0.014)]
        lathe("foot", foot, fittings, 48)
        turns = np.linspace(0.25, pi - 0.12, 32)
        ball = [(R * math.sin(a) * 1.0, 0.012 + R - R * math.cos(a)) for a in turns]
        lathe("ball", ball, body, 64)
        neck = [(0, 0, 2 * R), (0, 0, H)]
        tube("neck", neck, 0.007, fittings, smooth_path=False)
    elif kind == "stick":
        foot = [(0, 0), (0.085, 0), (0.085, 0.014), (0.08, 0.018), (0.012, 0.022)]
        lathe("foot", foot, body, 64)
        stem, thick = [(0, 0, 0.01), (0, 0, H)], r.uniform(0.006, 0.012)
        tube("stem", stem, thick, fittings, smooth_path=False)
    else:
        for k in range(3):
            a = k * 2 * pi / 3 + 0.5
            ends = ((0.11, 0), (0.012, H))
            leg = [(x * math.cos(a), x * math.sin(a), z) for x, z in ends]
            timber = wood(r.choice(WOODS), 3)
            tube("leg", leg, [0.007, 0.01], timber, smooth_path=False)
        hub = [(0, H - 0.02), (0.022, H - 0.02), (0.022, H), (0, H)]
        lathe("hub", hub, fittings, 32)


def _shade_cloth(r, col):
    """Cloth that lets some light through; and whether it is pleated."""
    n = N("shade")
    t = n.t
    out = t.nodes["Material Output"]
    n.coord()
    weave = n.noise(n.coord((1, 1, 6)), 180, 3)
    pleated = r.random() < 0.35
    dark = tuple(x * 0.6 for x in col)
    cc = n.mix(n.math("MULTIPLY", weave, 0.25), col, dark)
    n.bsdf(Base_Color=cc, Roughness=0.85)
    tr = t.nodes.new("ShaderNodeBsdfTranslucent")
    t.links.new(cc, tr.inputs[0])
    mx = t.nodes.new("ShaderNodeMixShader")
    mx.inputs[0].default_value = 0.45
    t.links.new(n.p.outputs[0], mx.inputs[1])
    t.links.new(tr.outputs[0], mx.inputs[2])
    t.links.new(mx.outputs[0], out.inputs[0])
    return n.mat, pleated


def _shade(r, size, z, col, fittings):
    """A cone of cloth between two rings; size is (low, high radius, height)."""
    low, high, height = size
    cloth, pleated = _shade_cloth(r, col)

    def f(u, v):
        a = u * 2 * pi
        rr = low + (high - low) * v + (0.004 * math.cos(40 * a) if pleated else 0)
        return (rr * math.cos(a), rr * math.sin(a), z - 0.02 + v * height)

    grid("shade", f, 240 if pleated else 96, 12, cloth, closed_u=True)
    turns = np.linspace(0, 2 * pi, 48, endpoint=False)
    for rr, at in ((low, z - 0.02), (high, z - 0.02 + height)):
        circle = [(rr * math.cos(a), rr * math.sin(a), at) for a in turns]
        mat = r.choice([plastic(col), fittings])
        tube("ring", circle, 0.0025, mat, closed=True, res=3)


def _bulb(r, H, on):
    b = N("bulb")
    b.bsdf(
        Base_Color=(0.9, 0.9, 0.9),
        Emission_Color=hsv(0.1, 0.35, 1),
        Emission_Strength=r.uniform(70, 90) if on else 0.0,
    )
    turns = np.linspace(0.4, pi - 0.01, 12)
    glass = [(0.028 * math.sin(a), H + 0.078 - 0.028 * math.cos(a)) for a in turns]
    lathe("bulb", [(0, H + 0.04), *glass, (0, H + 0.106)], b.mat, 24)


def lamp(r, i):
    """A table lamp: foot, shade and bulb; every second one is lit."""
    kind = pick(["turned", "ball", "tripod", "stick"], i)
    H = r.uniform(0.22, 0.34)
    low = r.uniform(0.12, 0.17)
    high = low * r.choice([1, 0.75, 0.55])
    height = r.uniform(0.17, 0.22)
    body, stuff = _lamp_stuff(r, i, H)
    fittings = metal(METALS[r.choice(["brass", "steel", "iron"])], 0.25)
    _foot(r, kind, H, body, fittings)
    col = neutral(r, (0.85, 0.93)) if i % 4 == 1 else own_colour(r, i, 0.1)
    on = i % 2 == 0
    _shade(r, (low, high, height), H + 0.005, col, fittings)
    neck = [(0, 0, H - 0.01), (0, 0, H + 0.05)]
    tube("neck", neck, 0.009, fittings, smooth_path=False)
    _bulb(r, H, on)
    stands = {"ball": f"a {stuff} ball", "tripod": "three legs", "stick": "a thin stem"}
    words = f"{'lit ' if on else ''}table lamp with a {colour_word(col)} shade"
    return {"description": f"{words} and {stands.get(kind, f'a {stuff} foot')}"}


CLASSES = {
    "chair": dict(build=chair, yaw=(-70, 70), elev=(8, 35)),
    "lamp": dict(build=lamp, elev=(0, 22)),
}
