"""Apples, cacti and, though nobody grows them, donuts.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .finishes import bspline, glaze, pick
from .materials import WOODS, N, ceramic, hsv, plastic, wood
from .mesh import grid, instance, lathe, tube

pi = math.pi


APPLE = [  # an outline of (distance from the axis, height), from the stem's hollow down
    *[(0.0, 0.40), (0.12, 0.42), (0.30, 0.80), (0.62, 0.98), (0.98, 0.72), (1.0, 0.1)],
    *[(0.86, -0.45), (0.5, -0.86), (0.24, -0.90), (0.10, -0.74), (0, -0.70)],
]
APPLES = [
    (hsv(0, 0.85, 0.7), hsv(0.11, 0.6, 0.9), "red apple with yellow streaks"),
    (hsv(0.24, 0.7, 0.72), hsv(0.2, 0.5, 0.85), "green apple"),
    (hsv(0.14, 0.6, 0.92), hsv(0.02, 0.7, 0.85), "yellow and red apple"),
    (hsv(0.98, 0.9, 0.5), hsv(0.02, 0.8, 0.7), "dark red apple"),
    (hsv(0.15, 0.65, 0.9), hsv(0.19, 0.6, 0.85), "yellow apple"),
    (hsv(0.27, 0.75, 0.5), hsv(0.0, 0.75, 0.6), "green apple with red streaks"),
    (hsv(0.96, 0.6, 0.85), hsv(0.06, 0.5, 0.92), "pink apple"),
    (hsv(0.08, 0.6, 0.6), hsv(0.13, 0.6, 0.75), "russet brown apple"),
]


def _skin(c0, c1):
    """Streaks of one colour on another, and small dots."""
    n = N("skin")
    x, y, z = n.xyz(n.coord())
    ang = n.math("ARCTAN2", y, x)
    around, along = n.math("MULTIPLY", ang, 9.0), n.math("MULTIPLY", z, 25.0)
    v = n.add("CombineXYZ", i0=around, i1=along, i2=0.0).outputs[0]
    fine = n.noise(v, 1.6, 5, 0.6)
    big = n.noise(n.coord(), 18, 2)
    both = n.math("MULTIPLY", fine, 0.6), n.math("MULTIPLY", big, 0.4)
    streaks = n.ramp(n.math("ADD", *both), [(0.45, (0, 0, 0)), (0.66, (1, 1, 1))])
    c = n.mix(streaks, c0, c1)
    spots = n.add("TexVoronoi", Vector=n.coord(), Scale=260.0).outputs[0]
    spots = n.math("MULTIPLY", n.math("LESS_THAN", spots, 0.16), 0.5)
    return n.bsdf(
        Base_Color=n.mix(spots, c, hsv(0.13, 0.3, 0.95)),
        Roughness=0.28,
        Coat_Weight=0.3,
        Subsurface_Weight=0.05,
        Subsurface_Radius=(0.004, 0.002, 0.001),
    )


def apple(r, i):
    """An apple with a stem, every second one with a leaf."""
    R = r.uniform(0.034, 0.042)
    f = r.uniform(0.85, 1.05)
    ph = r.uniform(0, 6)
    prof = bspline(APPLE, 10)

    def surf(u, v):
        k = v * (len(prof) - 1)
        a = int(min(k, len(prof) - 2))
        p = prof[a] * (1 - k + a) + prof[a + 1] * (k - a)
        t = u * 2 * pi
        w = (
            1
            + 0.035 * math.cos(5 * t + ph) * max(0, -p[1])
            + 0.02 * math.cos(2 * t + ph)
        )
        return (
            R * p[0] * w * math.cos(t),
            R * p[0] * w * math.sin(t),
            R * f * (p[1] + 0.9),
        )

    c0, c1, words = pick(APPLES, i)
    grid("apple", surf, 80, 60, _skin(c0, c1), closed_u=True)
    z = R * f * 1.34
    a = r.uniform(0, 6.28)
    stem = [
        (0, 0, z - R * 0.1),
        (R * 0.04 * math.cos(a), R * 0.04 * math.sin(a), z + R * 0.3),
        (R * 0.16 * math.cos(a), R * 0.16 * math.sin(a), z + R * 0.62),
    ]
    tube("stem", stem, [R * 0.045, R * 0.035, R * 0.06], wood(WOODS[0], 8))
    if i % 2:
        words += " with a leaf"
        _leaf(R, R * r.uniform(0.7, 1.0), a + 2, z)
    return {"description": words}


def _leaf(R, L, turn, z):
    ca, sa = math.cos(turn), math.sin(turn)

    def leaf(u, v):
        w = L * 0.26 * math.sin(pi * v**0.8) * (u - 0.5) * 2
        h = z + R * 0.25 + L * (0.55 * v - 0.45 * v * v) + abs(u - 0.5) * L * 0.12
        return (ca * L * v - sa * w, sa * L * v + ca * w, h)

    grid("leaf", leaf, 9, 16, plastic(hsv(0.27, 0.7, 0.4), 0.45), thickness=0.0004)


CACTI = {
    "ball": "round cactus",
    "column": "tall cactus",
    "arms": "cactus with two arms",
    "cluster": "cluster of three cacti",
}


class _Flesh:
    """What the limbs of one cactus have in common."""

    def __init__(self, r):
        self.r = r
        g = hsv(r.uniform(0.25, 0.38), r.uniform(0.4, 0.7), r.uniform(0.3, 0.55))
        n = N("flesh")
        self.material = n.bsdf(
            Base_Color=n.mix(n.noise(n.coord(), 60, 3), g, tuple(x * 0.6 for x in g)),
            Roughness=0.45,
            Subsurface_Weight=0.08,
            Subsurface_Radius=(0.003, 0.004, 0.001),
        )
        spines = [(0.8, 0.75, 0.55), (0.55, 0.3, 0.12), (0.9, 0.88, 0.8)]
        spine = plastic(r.choice(spines), 0.5)
        self.ribs = r.choice([9, 11, 13, 16])
        how = {"smooth_path": False, "res": 1}
        self.spine = tube("sp0", [(0, 0, 0), (0, 0, 1)], [0.035, 0.004], spine, **how)

    def limb(self, base, up, radius, height):
        """Ribbed capsule from base along up, with its spines."""
        turn = Vector(up).to_track_quat("Z", "Y").to_matrix().to_4x4()
        M = Matrix.Translation(base) @ turn
        tall = height >= radius * 2.5

        def f(u, v):
            if tall:
                z = v * height
                beyond = min(max((z - (height - radius)) / radius, 0.0), 1.0)
                wide = (1 - beyond**2) ** 0.5 * (0.85 + 0.15 * min(1, v * 4))
            else:
                z = height * (0.5 - 0.5 * math.cos(v * pi))
                wide = math.sin(v * pi)
            rib = 1 + 0.09 * math.cos(self.ribs * u * 2 * pi)
            wide = radius * wide * rib + 1e-5
            a = u * 2 * pi
            return M @ Vector((wide * math.cos(a), wide * math.sin(a), z))

        grid("c", f, self.ribs * 8, 48, self.material, closed_u=True)
        rows = max(5, int(height / 0.011))
        for a in range(self.ribs):
            for b in range(1, rows):
                P = f(a / self.ribs, b / rows)
                low = (P - Vector(base)).length * 0.5
                axis = M @ Vector((0, 0, b / rows * height if tall else low))
                self._spines(P, (P - axis).normalized())

    def _spines(self, P, normal):
        """Three at one place."""
        r = self.r
        for _ in range(3):
            off = Vector((r.gauss(0, 0.45), r.gauss(0, 0.45), r.gauss(0, 0.45)))
            d = (normal + off).normalized()
            L = r.uniform(0.005, 0.010)
            turn = d.to_track_quat("Z", "Y").to_matrix().to_4x4()
            size = Matrix.Diagonal((L, L, L, 1))
            instance(self.spine, Matrix.Translation(P) @ turn @ size)


def _pot(r, i, pr, height):
    """Pot and soil; the words for the pot."""
    if i % 5 == 1:
        pm, pot = ceramic(hsv(0.04, 0.6, 0.7), 0.8), "terracotta pot"
    else:
        pm, pot = glaze(r, height, i, 0.85)
        pot = pot.format("pot")
    outline = [
        (0, 0),
        (pr * 0.68, 0),
        (pr * 0.7, 0.002),
        (pr * 0.93, height * 0.78),
        (pr * 1.04, height * 0.79),
        (pr * 1.06, height),
        (pr * 0.94, height),
        (pr * 0.92, height * 0.85),
        (0, height * 0.85),
    ]
    lathe("pot", outline, pm, 64)
    n = N("soil")
    k = n.noise(n.coord(), 500, 4)
    colour = n.mix(k, (0.02, 0.012, 0.006), (0.2, 0.13, 0.08))
    soil = n.bsdf(Base_Color=colour, Roughness=1, Normal=n.bump(k, 1, 0.004))
    lathe("soil", [(0, height * 0.9), (pr * 0.93, height * 0.88)], soil, 48)
    return pot


def _limbs(r, flesh, kind, pr, z):
    """One round or tall limb, three small ones, or one with two arms."""
    if kind == "ball":
        R = pr * r.uniform(0.75, 1.0)
        flesh.limb((0, 0, z - R * 0.15), (0, 0, 1), R, R * 1.9)
        return
    if kind == "cluster":
        for k in range(3):
            a = k * 2.1 + r.random()
            R = pr * r.uniform(0.3, 0.42)
            base = (pr * 0.45 * math.cos(a), pr * 0.45 * math.sin(a), z)
            up = (0.25 * math.cos(a), 0.25 * math.sin(a), 1)
            flesh.limb(base, up, R, R * r.uniform(3, 5))
        return
    R = pr * r.uniform(0.42, 0.58)
    H = r.uniform(0.12, 0.2)
    flesh.limb((0, 0, z), (0, 0, 1), R, H)
    if kind == "column":
        return
    for s in (1, -1):
        q = R * 0.5
        za = z + H * r.uniform(0.25, 0.45)
        x = R * 1.9
        elbow = [(s * R * 0.8, 0, za), (s * x * 0.8, 0, za + 0.003)]
        tube("el", [*elbow, (s * x, 0, za + 0.02)], q * 0.95, flesh.material)
        flesh.limb((s * x, 0, za + 0.014), (0, 0, 1), q, H * r.uniform(0.3, 0.45))


def cactus(r, i):
    """A ribbed cactus (or three) with spines, in a pot."""
    pr = r.uniform(0.045, 0.06)
    height = pr * r.uniform(1.4, 1.8)
    pot = _pot(r, i, pr, height)
    flesh = _Flesh(r)
    kind = pick(["arms", "ball", "column", "cluster"], i)
    _limbs(r, flesh, kind, pr, height * 0.88)
    bpy.data.objects.remove(flesh.spine)
    return {"description": f"{CACTI[kind]} in a {pot}"}


ICINGS = {
    "pink": hsv(0.93, 0.45, 0.95),
    "choc": (0.045, 0.016, 0.006),
    "white": (0.9, 0.87, 0.82),
    "blue": hsv(0.55, 0.45, 0.9),
    "caramel": (0.45, 0.2, 0.06),
    "green": hsv(0.3, 0.45, 0.85),
    "yellow": hsv(0.14, 0.6, 0.95),
    "red": hsv(0.98, 0.75, 0.75),
}
CRUST = [  # colours from the bottom up: baked, pale round the middle, baked
    (0, (0.34, 0.13, 0.035)),
    (0.36, (0.42, 0.18, 0.05)),
    (0.47, (0.78, 0.55, 0.28)),
    (0.56, (0.74, 0.48, 0.21)),
    (0.68, (0.42, 0.18, 0.05)),
    (1, (0.36, 0.15, 0.04)),
]
SPRINKLE = [(0, 0.0028), (0.0005, 0.0026), (0.00075, 0.0022)]  # half its outline
RAINBOW = (0, 0.08, 0.15, 0.35, 0.55, 0.8, 0.93)  # hues
STREWN = {
    "rainbow": " and coloured sprinkles",
    "mono": " and white sprinkles",
    "stripes": " and stripes",
    "nuts": " and nuts",
    "none": "",
}


class _Ring:
    """The shape of one donut."""

    def __init__(self, r):
        self.R, self.a = r.uniform(0.030, 0.034), r.uniform(0.0155, 0.0185)
        self.flat = r.uniform(0.78, 0.92)
        self.phases = [r.uniform(0, 6.28) for _ in range(6)]

    def wobble(self, t):
        """How much thicker it is at this angle round the hole."""
        ph = self.phases
        return 0.0011 * (
            math.sin(2 * t + ph[0])
            + 0.6 * math.sin(3 * t + ph[1])
            + 0.35 * math.sin(5 * t + ph[2])
        )

    def surface(self, u, p, off=0.0):
        """The point at a share of the round and an angle about the dough."""
        t = u * 2 * pi
        rr = self.a + off + self.wobble(t)
        return (
            (self.R + rr * math.cos(p)) * math.cos(t),
            (self.R + rr * math.cos(p)) * math.sin(t),
            self.a * self.flat + self.flat * rr * math.sin(p) + (0),
        )

    def edge(self, t, side):
        """The angle at which the icing ends, wavy, with a few drips."""
        ph = self.phases
        q = (
            0.12 * math.sin(5 * t + ph[3])
            + 0.1 * math.sin(9 * t + ph[4])
            + 0.06 * math.sin(14 * t + ph[5])
        )
        return (0.10 - q) if side > 0 else (pi - 0.10 + q * 0.8)

    def icing(self, u, v):
        """The icing's surface."""
        t = u * 2 * pi
        p0, p1 = self.edge(t, 1), self.edge(t, -1)
        p = p0 + (p1 - p0) * v
        thick = 0.0021 * min(1, math.sin(min(max(v, 0), 1) * pi) * 4) ** 0.5 + 0.0002
        return self.surface(u, p, thick - 0.0004)


def _dough(shape):
    n = N("dough")
    v = n.coord()
    z = n.xyz(v)[2]
    k = n.noise(v, 90, 5, 0.6)
    height = n.math("DIVIDE", z, 2 * shape.a * shape.flat)
    rough = n.math("MULTIPLY", n.math("SUBTRACT", k, 0.5), 0.12)
    return n.bsdf(
        Base_Color=n.ramp(n.math("ADD", height, rough), CRUST),
        Roughness=0.62,
        Subsurface_Weight=0.15,
        Subsurface_Radius=(0.006, 0.003, 0.001),
        Normal=n.bump(n.noise(v, 420, 4, 0.6), 0.25, 0.0012),
    )


def _icing(r, kind):
    n = N("icing")
    return n.bsdf(
        Base_Color=ICINGS[kind],
        Roughness=r.uniform(0.12, 0.3),
        Coat_Weight=0.5,
        Subsurface_Weight=0.2 if kind != "choc" else 0,
        Subsurface_Radius=(0.004, 0.002, 0.001),
        Normal=n.bump(n.noise(n.coord(), 70, 2), 0.15, 0.002),
    )


def _sprinkle(r, shape, strewn, icing):
    """Sprinkles or nuts on the icing, none on another."""
    outline = [(x, -z) for x, z in SPRINKLE] + SPRINKLE[::-1]
    proto = lathe("spr", outline, plastic((1, 1, 1), 0.3), 10)
    colours = [(0.5, 0.28, 0.1), (0.6, 0.36, 0.16), (0.4, 0.2, 0.07)]
    if strewn == "rainbow":
        colours = [*(hsv(h, 0.75, 0.95) for h in RAINBOW), (0.9, 0.9, 0.9)]
    elif strewn == "mono":
        colours = [(0.9, 0.88, 0.85), icing]
    mats = [plastic(c, 0.35) for c in colours]
    wide, broad, long = (2.2, 1.6, 0.9) if strewn == "nuts" else (1.1, 1.1, 1.0)
    placed: list = []
    for _ in range(r.randint(70, 150)):
        t, p = r.uniform(0, 2 * pi), r.uniform(0.45, pi - 0.45)
        P = Vector(shape.surface(t / 2 / pi, p, 0.0024))
        e = 1e-3
        du = Vector(shape.surface((t + e) / 2 / pi, p, 0.0024)) - P
        dv = Vector(shape.surface(t / 2 / pi, p + e, 0.0024)) - P
        normal = du.cross(dv).normalized()
        du.normalize()
        an = r.uniform(0, 2 * pi)
        along = (du * math.cos(an) + normal.cross(du) * math.sin(an)).normalized()
        if any((P - q).length < 0.0028 for q in placed):
            continue
        placed.append(P)
        turn = along.to_track_quat("Z", "Y").to_matrix().to_4x4()
        s = r.uniform(0.75, 1.1) * long
        M = Matrix.Translation(P) @ turn @ Matrix.Diagonal((s * wide, s * broad, s, 1))
        copy = instance(proto, M, None)
        copy.material_slots[0].link = "OBJECT"
        copy.material_slots[0].material = r.choice(mats)
    bpy.data.objects.remove(proto)


def _stripes(r, shape, kind):
    """Wavy lines of another icing across the donut, broken at the hole."""
    light = kind in ("choc", "caramel", "pink", "blue")
    colour = (0.9, 0.88, 0.84) if light else (0.05, 0.02, 0.01)
    r.uniform(0, pi)  # of no use, but drawn when the gallery was rendered
    for k in range(15):
        x = (k / 14 * 2 - 1) * (shape.R + shape.a * 0.75)
        line: list = []
        for s in [*np.linspace(-1, 1, 60), None]:
            point = None if s is None else _on_stripe(shape, x, s)
            if point is not None:
                line.append(point)
                continue
            if len(line) > 3:
                tube("st", line, 0.0009, plastic(colour, 0.25), res=3)
            line = []


def _on_stripe(shape, x, s):
    """A point of a stripe; None where it would run beside the dough."""
    y = s * (shape.R + shape.a)
    d = math.hypot(x, y) - shape.R
    if abs(d) > shape.a * 0.8:
        return None
    z = (
        shape.a * shape.flat
        + shape.flat * math.sqrt(shape.a * shape.a - d * d)
        + 0.0026
        + shape.wobble(math.atan2(y, x)) * 0.8
    )
    return x + 0.001 * math.sin(s * 9), y, z


def donut(r, i):
    """A ring of dough with icing and, mostly, something strewn on it."""
    shape = _Ring(r)

    def surface(u, v):
        return shape.surface(u, v * 2 * pi)

    grid("dough", surface, 96, 49, _dough(shape), closed_u=True)
    kind = pick(list(ICINGS), i)
    grid("icing", shape.icing, 144, 40, _icing(r, kind), closed_u=True)
    strewn = pick(["rainbow", "stripes", "nuts", "mono", "none"], i)
    if strewn in ("rainbow", "mono", "nuts"):
        _sprinkle(r, shape, strewn, ICINGS[kind])
    elif strewn == "stripes":
        _stripes(r, shape, kind)
    icing = {"choc": "chocolate"}.get(kind, kind) + " icing"
    return {"description": f"donut with {icing}{STREWN[strewn]}"}


CLASSES = {
    "apple": dict(build=apple, elev=(8, 45)),
    "cactus": dict(build=cactus, elev=(8, 35)),
    "donut": dict(build=donut, elev=(32, 70)),
}
