"""Sneakers: a surface from the sole's outline to the collar, and trim.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.

``u`` runs once round the outline from the toe, ``s`` from the sole to the collar, and
``k`` from -1 to 1: 0 is the toe, -1 and 1 are the heel.
"""

import math

import numpy as np

from .colours import colour_word
from .finishes import other_colour, own_colour, pick
from .materials import METALS, fabric, hsv, leather, metal, neutral, plastic
from .mesh import grid, slab, spline, tube

pi = math.pi
FOOT = [
    *[(0.288, 0.004), (0.276, 0.026), (0.245, 0.041), (0.20, 0.047), (0.145, 0.040)],
    *[(0.09, 0.034), (0.045, 0.033), (0.015, 0.024), (0, 0), (0.015, -0.026)],
    *[(0.045, -0.034), (0.09, -0.033), (0.145, -0.035), (0.20, -0.043)],
    *[(0.245, -0.037), (0.276, -0.020)],
]
SOLE = [  # (outwards, upwards), the latter as a share of the sole's height
    *[(-0.006, 0), (-0.001, 0.001), (0.0035, 0.006), (0.0045, 0.5), (0.0035, 0.92)],
    *[(0.0005, 1.0), (-0.006, 1.02)],
]
HEEL = {"runner": 0.034, "court": 0.028, "canvas": 0.025}
TOE = {"runner": 0.022, "court": 0.024, "canvas": 0.023}
STYLE = {"runner": "running shoe", "court": "sneaker", "canvas": "canvas sneaker"}
STUFF = {
    "runner": lambda colour: fabric(colour, 900, 0.8, 0.6),
    "court": lambda colour: leather(colour, 300, 0.4),
    "canvas": lambda colour: fabric(colour, 600, 0.95, 0.7),
}


def _unit(vector, least=0.0):
    return vector / (np.linalg.norm(vector) + least)


class _Last:
    """The shape of one shoe, without its materials."""

    def __init__(self, kind, high, scale):
        self.kind, self.high, self.scale = kind, high, scale
        curve = spline(np.array(FOOT) * scale, 12, closed=True)
        self.curve = np.r_[curve, curve[:1]]
        steps = np.linalg.norm(np.diff(self.curve, axis=0), axis=1)
        self.arc = np.r_[0, np.cumsum(steps)]
        self.arc /= self.arc[-1]
        self.heel, self.toe = HEEL[kind], TOE[kind]

    def _on(self, u):
        return np.array([np.interp(u, self.arc, self.curve[:, k]) for k in (0, 1)])

    def outline(self, u, off=0.0):
        """The sole's outline, ``off`` outwards, in xy."""
        u %= 1
        p, e = self._on(u), 0.004
        q = self._on((u + e) % 1) - self._on((u - e) % 1)
        return p + _unit(np.array([q[1], -q[0]]), 1e-9) * off

    def spring(self, x):
        """How far the toe is lifted."""
        return 0.013 * max(0, (x - 0.2) / 0.085) ** 2

    def sole_top(self, x):
        """The height of the sole."""
        share = np.clip((0.2 - x) / 0.15, 0, 1)
        return self.toe + (self.heel - self.toe) * share + self.spring(x)

    def collar(self, psi):
        """The opening, once round from the front."""
        front, mid, back = (0.138, 0.118, 0.135) if self.high else (0.108, 0.072, 0.092)
        x = 0.066 + 0.050 * math.cos(psi) - (0.006 if self.high else 0)
        y = 0.031 * math.sin(psi)
        z = (
            mid
            + (front - mid) * max(0, math.cos(psi)) ** 1.4
            + (back - mid) * max(0, -math.cos(psi)) ** 1.6
        )
        return np.array([x, y, z]) * np.array([self.scale, self.scale, 1])

    def upper(self, u, s):
        """The upper's surface: a Bézier curve from the sole to the collar."""
        side = u if u <= 0.5 else u - 1
        k = abs(side) * 2
        low = self.outline(u, -0.004 + 0.0)
        A = np.array([*low, self.sole_top(low[0]) - 0.006])
        B = self.collar(math.copysign(pi * k**1.55, side if side != 0 else 1))
        front = max(0, math.cos(pi * k)) ** 0.8
        out = np.array([*(self.outline(u, 1.0) - self.outline(u, 0.0)), 0])
        up = np.array([0, 0, 0.030 + 0.012 * front])
        P1 = A + out * (0.006 * (1 - front) + 0.004) + up
        bow = out * 0.012 * (1 - front) * np.array([1, 1, 0])
        P2 = B + np.array([0.085 * front, 0, -0.03 - 0.012 * front]) + bow
        return (
            (1 - s) ** 3 * A
            + 3 * (1 - s) ** 2 * s * P1
            + 3 * (1 - s) * s * s * P2
            + s**3 * B
        )

    def at(self, k, s):
        """The upper's surface by k, which may run past the heel."""
        return np.array(self.upper((k / 2) % 1, s))


def _patch(last, ks, ss, mat, off=0.0009):
    """A panel sewn on the upper, from k0(s) to k1(s) and from s0(t) to s1(t)."""
    (k0, k1), (s0, s1) = ks, ss

    def surface(u, v):
        sa, sb = s0(u), s1(u)
        q = sa + (sb - sa) * v
        k = k0(q) + (k1(q) - k0(q)) * u
        e = 0.004
        P = last.at(k, q)
        du = last.at(k + e, q) - P
        dv = last.at(k, min(q + e, 1)) - last.at(k, max(q - e, 0))
        normal = _unit(np.cross(du, dv), 1e-12)
        if normal @ np.array([0, math.sin(pi * k), 0.6]) < 0:
            normal = -normal
        return P + normal * off

    grid("panel", surface, 36, 20, mat, thickness=0.0012, subsurf=1)


def _always(x):
    return lambda _: x


def _panels(r, last, mats, stripes):
    """Toe, heel, the eyelets' strips, stripes and the padded collar."""
    accent = mats[1]
    if last.kind == "canvas":
        (width, low, height), toe = (0.30, 0.28, 0.16), mats[3]
    else:
        width, low, height = 0.42, 0.16, 0.20
        toe = accent if last.kind == "runner" else mats[2]
    arch = (_always(0.02), lambda t: low + height * (1 - (2 * t - 1) ** 2))
    _patch(last, (_always(-width), _always(width)), arch, toe)
    heel = (lambda q: 0.84 + 0.05 * q, lambda q: 1.16 - 0.05 * q)
    _patch(last, heel, (_always(0.02), _always(0.97)), accent)
    for sg in (1, -1):
        strip = (
            lambda q, sg=sg: sg * (0.085 if q < 0.8 else 0.08) - sg * 0.035,
            lambda q, sg=sg: sg * (0.14 + 0.05 * (1 - q)),
        )
        mat = accent if r.random() < 0.5 else mats[0]
        _patch(last, strip, (_always(0.47), _always(0.985)), mat)
    if last.kind == "canvas":
        return
    width = {1: 0.10, 2: 0.05, 3: 0.04}.get(stripes, 0)
    for j in range(stripes):
        start = 0.42 + 0.085 * j
        for sg in (1, -1):
            band = (
                lambda q, near=start, sg=sg: sg * (near + 0.12 * (1 - q)),
                lambda q, far=start + width, sg=sg: sg * (far + 0.12 * (1 - q)),
            )
            _patch(last, band, (_always(0.04), _always(0.86)), accent)
    rim = [np.array(last.upper(u, 0.985)) for u in np.linspace(0.06, 0.94, 40)]
    tube("pad", rim, 0.0048, mats[0] if r.random() < 0.5 else mats[2], res=5)


def _sole(r, last, colour, accent):
    """Insole, the sole's side with perhaps a band, and its underside."""
    inside = [last.outline(u, -0.008) for u in np.linspace(0, 1, 80, endpoint=False)]
    mats = [plastic(neutral(r, (0.2, 0.6)), 0.9)] * 3
    slab("insole", inside, last.heel - 0.004, last.heel + 0.002, mats)

    def surface(u, v):
        k = v * (len(SOLE) - 1)
        a = int(min(k, len(SOLE) - 2))
        f = k - a
        off, up = (SOLE[a][n] * (1 - f) + SOLE[a + 1][n] * f for n in (0, 1))
        x, y = last.outline(u, off * (1.4 if last.kind == "runner" else 1))
        z0 = last.spring(x) * 0.95
        share = up if up > 0.0061 else up / 0.03
        return x, y, z0 + (last.sole_top(x) - z0) * share

    band = r.random() < 0.6
    tread = [(0.02, 0.02, 0.02), hsv(0.1, 0.5, 0.5), colour]
    mats = [plastic(colour, 0.5), plastic(accent, 0.5), plastic(r.choice(tread), 0.6)]

    def mat_of(u, v):
        return 2 if v < 0.33 else (1 if band and 0.55 < v < 0.62 else 0)

    grid("sole", surface, 200, 43, mats, closed_u=True, mat_fn=mat_of, smooth=40)
    under = [last.outline(u, -0.006) for u in np.linspace(0, 1, 100, endpoint=False)]
    slab("bottom", under, 0.0005, 0.004, [mats[2]] * 3)


def _tongue(last, mat):
    front = last.collar(0.0)
    d = _unit(np.array(last.upper(0, 0.97)) - np.array(last.upper(0, 0.72)))
    d = _unit(d * 0.5 + np.array([0.3, 0, 1.0]))

    def surface(u, v):
        w = 0.021 * (1 - 0.12 * v)
        x = 2 * (u - 0.5)
        top = front + d * 0.017 + np.array([-0.004, 0, 0.0])
        p = last.upper(0, 0.60) * (1 - v) + top * v
        return (
            p[0] - 0.010 * x * x * v,
            x * w * (1 - 0.25 * max(0, v - 0.85) / 0.15),
            p[2] - 0.010 * x * x * (1 - v) - 0.004 * x * x + 0.002,
        )

    grid("tongue", surface, 16, 14, mat, thickness=0.005, subsurf=1)


def _eyelet(last, sg, s, o):
    """Where a lace goes through, ``o`` above the upper."""
    u = (sg * 0.075 * (1.0 if s < 0.8 else 0.9)) % 1
    return np.array(last.upper(u, s)) + np.array([0.35 * o, 0, o + 0.0015])


def _laces(last, lace):
    """Laces row by row, crossing between two rows, and the eyelets' rings."""
    rows = np.linspace(0.52, 0.96, 7 if last.high else 5)
    for k, s in enumerate(rows):
        a, b = _eyelet(last, 1, s, 0.002), _eyelet(last, -1, s, 0.002)
        m, top = (a + b) / 2, np.array(last.upper(0, s))
        mz = np.array([max(m[0], top[0]) + 0.002, 0, max(m[2], top[2]) + 0.0075])
        if last.kind == "canvas" or k == 0:
            lift = np.array([0.001, 0, 0.002])
            path = [a, (a + mz) / 2 + lift, mz, (b + mz) / 2 + lift, b]
            tube("lace", path, 0.0026, lace, res=4)
        if k + 1 < len(rows):
            for sg in (1, -1):
                _crossing(last, sg, (s, rows[k + 1]), lace)
        for sg in (1, -1):
            q = _eyelet(last, sg * 1.04, s, 0.001)
            turns = np.linspace(0, 2 * pi, 14, endpoint=False)
            circle = [
                q
                + 0.0036 * np.array([math.cos(x) * 0.6, math.sin(x), math.cos(x) * 0.5])
                for x in turns
            ]
            steel = metal(METALS["steel"], 0.3)
            tube("eye", circle, 0.0009, steel, closed=True, res=3)


def _crossing(last, sg, rows, lace):
    """A lace from one side of a row to the other side of the next."""
    a = _eyelet(last, sg, rows[0], 0.003)
    b = _eyelet(last, -sg, rows[1], 0.003)
    lift = np.array([0.002, 0, 0.0085 + 0.001 * sg])
    middle = np.array(last.upper(0, (rows[0] + rows[1]) / 2)) + lift
    left = middle + np.array([0, a[1] * 0.45, -0.001])
    right = middle + np.array([0, b[1] * 0.45, -0.001])
    tube("lace", [a, left, middle, right, b], 0.0026, lace, res=4)


def _bow(last, lace):
    top = np.array(last.upper(0, 0.97)) + np.array([0.003, 0, 0.008])
    loop = [(0.012, 0.014, 0.008), (0.018, 0.032, -0.006), (0.012, 0.024, -0.010)]
    loop.append((0.002, 0.006, -0.001))
    end = [(0.014, 0.012, 0.002), (0.026, 0.022, -0.014), (0.033, 0.03, -0.026)]
    for sg in (1, -1):
        for name, steps, radius in (("bow", loop, 0.0023), ("end", end, 0.0022)):
            path = [top, *(top + np.array([x, sg * y, z]) for x, y, z in steps)]
            tube(name, path, radius, lace, res=4)


def sneaker(r, i):
    """A low or high shoe: runner, canvas or court."""
    high = i % 4 == 2
    scale = r.uniform(0.95, 1.03)
    last = _Last(pick(["runner", "canvas", "court"], i), high, scale)
    base = own_colour(r, i, 0.6, (0.6, 0.9), (0.4, 0.85))
    accent = other_colour(r, i, 0.6)
    if i % 4 == 3:
        base, accent = r.choice([neutral(r, (0.8, 0.92)), (0.015, 0.015, 0.018)]), base
    sole = r.choice([(0.8, 0.79, 0.75)] * 3 + [hsv(0.1, 0.5, 0.6)])
    stuff = STUFF[last.kind]
    mats = [
        stuff(base),
        leather(accent, 300, 0.4),
        stuff(r.choice([base, neutral(r, (0.3, 0.9))])),
        plastic((0.85, 0.84, 0.8), 0.4),
    ]
    how = {"closed_u": True, "thickness": 0.004, "subsurf": 1}
    grid("upper", last.upper, 110, 30, mats, **how)
    _panels(r, last, mats, pick([2, 0, 3, 1], i))
    _sole(r, last, sole, accent)
    _tongue(last, stuff(r.choice([base, accent, base])))
    white = (0.85, 0.85, 0.85)
    lace = plastic(r.choice([white, white, accent, (0.02, 0.02, 0.02)]), 0.85)
    _laces(last, lace)
    _bow(last, lace)
    words = f"{'high-top ' if high else ''}{colour_word(base)} {STYLE[last.kind]}"
    return {"description": f"{words} with {colour_word(accent)} details"}


CLASSES = {"sneaker": {"build": sneaker, "yaw": (-75, 30), "elev": (10, 45)}}
