"""Bananas and mushrooms.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math
from typing import NamedTuple

import numpy as np
from mathutils import Matrix, Vector

from .finishes import pick
from .materials import N, hsv, plastic
from .mesh import lathe, spline, tube
from .parts import PI, TAU, at, blend, drop, ink, move, painted, sphere


def _banana(r, paint, ripe, length, bend):
    """One banana curved up in the xz plane, stem at -x; returns it and its stem."""
    knots = [0, 0.02, 0.1, 0.17, 0.33, 0.55, 0.75, 0.88, 0.95, 0.985, 1.0, 1.001]
    sizes = [0.0, 0.3, 0.27, 0.5, 0.95, 1.0, 0.95, 0.66, 0.34, 0.17, 0.14, 0.0]
    s = np.unique(np.r_[np.linspace(0, 1, 90), knots])
    radius = 0.0168 * np.interp(s, knots, sizes)
    t = np.arange(60) * TAU / 60
    five = math.cos(PI / 5) / np.cos((t + PI / 5) % (TAU / 5) - PI / 5)
    ridge = 0.45 * five + 0.55
    rho, phi = length / bend, (s - 0.5) * bend
    q = radius[:, None] * ridge
    up, side = q * np.cos(t + PI / 2), q * np.sin(t + PI / 2)
    x = rho * np.sin(phi)[:, None] - up * np.sin(phi)[:, None]
    z = rho * (1 - np.cos(phi))[:, None] + up * np.cos(phi)[:, None]
    points = np.stack([x, side, z], -1)
    green, brown = hsv(0.22, 0.75, 0.5), (0.035, 0.018, 0.008)
    ends = np.exp(-(((s - 0.08) / 0.12) ** 2)) + 0.6 * np.exp(
        -(((s - 0.93) / 0.06) ** 2)
    )
    colours = blend(paint.rgb, green, 0.5 * ends[:, None] + 0 * t)
    tips = (s > 0.972) * 1.0 + (s < 0.018) * 0.9
    spots = 0 * q + tips[:, None]
    for _ in range(round(60 * ripe)):
        where, turn = r.uniform(0.2, 0.9), r.uniform(0, TAU)
        off = (np.cos(t - turn) - 1) * 2 * 0.018**2
        gap = ((s - where) * length)[:, None] ** 2 - off
        spots = spots + 0.8 * np.exp(-gap / r.uniform(0.0008, 0.0025) ** 2)
    colours = blend(colours, brown, spots)
    part = painted("banana", points, colours, Roughness=0.42)
    a = -bend / 2
    return part, Vector((rho * math.sin(a), 0, rho * (1 - math.cos(a))))


def banana(r, i):
    """Bananas, green to spotted: one on its side, two, or a bunch of three or five."""
    count = pick((1, 3, 2, 5), i)
    ripe = pick((0.5, 0.0, 1.0, 0.25, 0.0, 0.7, 0.1, 0.0), i)
    hue = pick((0.142, 0.15, 0.133, 0.145, 0.2, 0.137, 0.15, 0.2), i)
    paint = ink(hue, 0.9, 0.85 if hue < 0.17 else 0.62)
    parts, bend = [], r.uniform(1.6, 1.95)
    for k in range(count):
        length = r.uniform(0.17, 0.19)
        part, stem = _banana(r, paint, ripe, length, bend)
        if count == 1:
            parts += move([part], at(turn=-0.95, axis="X"))
            continue
        side = k - (count - 1) / 2
        fan = at(turn=side * 0.3) @ at(turn=side * 0.16, axis="X")
        move([part], fan @ Matrix.Translation(-stem))
        parts.append(part)
    if count > 1:
        stub = plastic(hsv(0.15, 0.7, 0.4), 0.7)
        crown = sphere(0.0085, (0, 0, 0), stub, 16)
        crown.scale = (0.9, 0.75 + 0.18 * count, 1)
        parts.append(crown)
    drop(parts)
    lead = {1: "", 2: "pair of ", 3: "bunch of three ", 5: "bunch of five "}[count]
    words = f"{lead}{paint.word} {'banana' if count == 1 else 'bananas'}"
    spots = " with brown spots" if ripe >= 0.5 else ""
    return {"type": f"{count}", "description": f"{words}{spots}"}


class Cap(NamedTuple):
    """A mushroom's form and colours."""

    outline: list  # (radius, height) of the top, apex first, rim at radius 1
    colour: tuple
    under: tuple  # colour of the gills or pores
    gills: bool
    stem: tuple  # radii at foot, middle and top, as a share of the cap's radius


DOME = [(0, 0.62), (0.4, 0.57), (0.75, 0.38), (0.95, 0.13), (1, 0)]
BELL = [(0, 1.1), (0.22, 1.0), (0.5, 0.62), (0.8, 0.25), (1, 0)]
CUSHION = [(0, 0.7), (0.5, 0.66), (0.86, 0.44), (1.02, 0.18), (1, 0)]
FLAT = [(0, 0.36), (0.4, 0.34), (0.75, 0.24), (0.95, 0.09), (1, 0)]


def _warts(r, outline, radius, height, count):
    """White flakes scattered over the top of a cap."""
    white = plastic((0.85, 0.82, 0.74), 0.8)
    curve = spline(outline, 10)
    placed: list = []
    for _ in range(count * 6):
        k, a = r.randrange(2, len(curve) - 8), r.uniform(0, TAU)
        q, z = curve[k]
        spot = Vector((q * math.cos(a), q * math.sin(a), z)) * radius
        if len(placed) >= count or any(
            (spot - p).length < radius * 0.2 for p in placed
        ):
            continue
        placed.append(spot)
        wart = sphere(radius * r.uniform(0.06, 0.11), (0, 0, 0), white, 10)
        flat = Matrix.Diagonal((1, r.uniform(0.7, 1.1), 0.45, 1))
        out = Vector((spot.x, spot.y, spot.z - radius * 0.1)).to_track_quat("Z", "Y")
        where = Matrix.Translation(spot + Vector((0, 0, height)))
        wart.matrix_world = where @ out.to_matrix().to_4x4() @ flat


def _mushroom(r, cap, radius, height, bare=False):
    """One mushroom on z = 0; ``height`` is the rim of its cap. Returns its parts."""
    top = spline(cap.outline, 10)
    below = [(0.96, -0.02), (0.8, 0.02), (0.5, 0.06), (cap.stem[2] * 0.8, 0.07)]
    rows = np.vstack([top, spline(below, 4)])
    turns = np.arange(240) * TAU / 240
    wobble = 1 + 0.02 * np.sin(3 * turns + r.uniform(0, TAU))
    q = rows[:, :1] * wobble * radius
    z = height + rows[:, 1:] * radius + 0 * turns
    points = np.stack([q * np.cos(turns), q * np.sin(turns), z], -1)
    lines = (0.5 + 0.5 * np.sin(turns * 48)) * (0.75 if cap.gills else 0.1)
    under = blend(cap.under, np.array(cap.under) * 0.35, lines)
    edge = (rows[:, 0] * (np.arange(len(rows)) < len(top))) ** 6 * 0.35
    upper = blend(cap.colour, np.array(cap.colour) * 0.5 + 0.1, edge)
    colours = np.where(
        (np.arange(len(rows)) < len(top))[:, None, None], upper[:, None], under[None]
    )
    parts = [painted("cap", points, colours, Roughness=0.35)]
    radii = [cap.stem[0] * 0.8, cap.stem[0], cap.stem[1], cap.stem[2]]
    lean = r.uniform(-0.08, 0.08) * height
    path = [(lean, 0, 0), (lean, 0, height * 0.12), (lean, 0, height * 0.5)]
    path += [(0, 0, height + radius * 0.1)]
    pale = N("stem")
    grain = pale.noise(pale.coord((60, 60, 8)), 4, 4)
    colour = pale.mix(grain, (0.75, 0.68, 0.55), (0.5, 0.42, 0.3))
    flesh = pale.bsdf(Base_Color=colour, Roughness=0.7)
    parts.append(tube("stem", path, [x * radius for x in radii], flesh, res=12))
    if not bare:
        w = cap.stem[2] * radius
        skirt = [(w * 0.9, 0), (w * 1.5, -w * 0.25), (w * 2.0, -w * 0.75)]
        collar = lathe("skirt", spline(skirt, 5), flesh, 48)
        parts += move([collar], at(z=height * 0.86))
    return parts


def mushroom(r, i):
    """A mushroom: spotted fly agaric, porcini, three bell caps or a flat cap."""
    kind = pick(("fly agaric", "porcini", "bell-capped", "flat-capped"), i)
    pale = (0.8, 0.74, 0.6)
    if kind == "fly agaric":
        paint = pick((ink(0.995, 0.95, 0.62), ink(0.06, 0.95, 0.75)), i // 4)
        outline, radius, height = pick((DOME, CUSHION), i // 4), 0.05, 0.075
        cap = Cap(outline, paint.rgb, pale, True, (0.32, 0.22, 0.19))
        _mushroom(r, cap, radius, height)
        _warts(r, outline, radius, height, 26)
        words = f"{paint.word} mushroom with white spots"
    elif kind == "porcini":
        paint = pick((ink(0.06, 0.75, 0.42), ink(0.09, 0.6, 0.6)), i // 4)
        cap = Cap(CUSHION, paint.rgb, (0.6, 0.5, 0.25), False, (0.55, 0.5, 0.36))
        _mushroom(r, cap, 0.045, 0.055 + 0.015 * (i // 4), bare=True)
        words = f"{paint.word} mushroom with a thick stem"
    elif kind == "bell-capped":
        paint = pick((ink(0.1, 0.7, 0.75), ink(0.8, 0.35, 0.45)), i // 4)
        cap = Cap(BELL, paint.rgb, pale, True, (0.2, 0.16, 0.14))
        spots = [(0, 0, 0.03, 0.1), (0.048, -0.014, 0.024, 0.068)]
        for x, y, radius, height in [*spots, (-0.04, -0.024, 0.021, 0.05)]:
            move(_mushroom(r, cap, radius, height, bare=True), at(x, y))
        words = f"group of three {paint.word} mushrooms with pointed caps"
    else:
        paint = pick((ink(0.1, 0.1, 0.9), ink(0.05, 0.45, 0.7)), i // 4)
        cap = Cap(FLAT, paint.rgb, (0.35, 0.2, 0.14), True, (0.22, 0.19, 0.17))
        _mushroom(r, cap, 0.06, 0.08)
        words = f"{paint.word} mushroom with a flat cap"
    return {"type": kind, "description": words}


CLASSES = {
    "banana": {"build": banana, "yaw": (-60, 60), "elev": (28, 60)},
    "mushroom": {"build": mushroom, "yaw": (-180, 180), "elev": (3, 30)},
}
