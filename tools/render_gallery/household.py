"""Candles, clocks and keys.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import bpy
import numpy as np

from .colours import spread_hue
from .finishes import pick
from .materials import N, ceramic, hsv, plastic
from .mesh import box, lathe, spline, tube
from .parts import (
    PI,
    TAU,
    UPRIGHT,
    an,
    at,
    contrast,
    disc,
    drop,
    ink,
    lettering,
    move,
    ore,
    ring,
    rounded,
    solid,
    sphere,
    timber,
)


def _flame():
    """Emission from a blue foot over yellow to an orange tip, along local z."""
    node = N("flame")
    z = node.xyz(node.coord())[2]
    stops = [
        (0.0, (0.10, 0.12, 0.6)),
        (0.18, (1.0, 0.35, 0.05)),
        (0.5, (1.0, 0.62, 0.16)),
        (1.0, (1.0, 0.30, 0.02)),
    ]
    colour = node.ramp(z, stops)
    return node.bsdf(Base_Color=(0, 0, 0), Emission_Color=colour, Emission_Strength=5.0)


def _wax(paint, top):
    """Wax that glows a little just under the flame."""
    node = N("wax")
    z = node.xyz(node.coord())[2]
    near = node.math("DIVIDE", node.math("SUBTRACT", z, top - 0.03), 0.03)
    glow = node.math("MULTIPLY", node.math("MAXIMUM", near, 0.0), 0.35)
    warm = tuple(c * k for c, k in zip(paint.rgb, (1.0, 0.7, 0.4), strict=True))
    return node.bsdf(
        Base_Color=paint.rgb,
        Roughness=0.4,
        Subsurface_Weight=0.2,
        Subsurface_Radius=(0.006, 0.003, 0.002),
        Emission_Color=warm,
        Emission_Strength=glow,
    )


def _lit_candle(r, paint, radius, height, flame):
    """A burning candle on z = 0 with a molten hollow and drips."""
    wax = _wax(paint, height)
    dip = height - radius * 0.3
    rim = [
        (radius, height - radius * 0.12),
        (radius * 0.9, height),
        (0.5 * radius, dip),
    ]
    parts = [lathe("wax", [(0, 0), (radius, 0), *rim, (0, dip)], wax, 48)]
    for k in range(5):
        a = k * 1.3 + r.uniform(-0.4, 0.4)
        low = height * r.uniform(0.35, 0.85)
        c, s = math.cos(a) * radius, math.sin(a) * radius
        q = radius * 0.13
        path = [(0.93 * c, 0.93 * s, height - q), (c, s, height - 3 * q), (c, s, low)]
        parts.append(tube("drip", path, [q, q, q * 1.5], wax, res=4))
    black = plastic((0.01, 0.008, 0.006), 0.9)
    wick = [(0, 0, dip), (0, 0, dip + flame * 0.3)]
    parts.append(tube("wick", wick, flame * 0.035, black, smooth_path=False))
    outline = [(0, 0), (0.12, 0.06), (0.2, 0.25), (0.16, 0.5), (0.07, 0.8), (0, 1)]
    fire = lathe("flame", spline(outline, 8), _flame(), 24, smooth=180)
    fire.scale = (flame,) * 3
    fire.location = (0, 0, dip + flame * 0.12)
    return [*parts, fire]


def _chamberstick(material):
    """A dish with a socket and a finger ring; returns the candle's height."""
    dish = [(0, 0), (0.045, 0), (0.058, 0.012), (0.066, 0.017), (0.064, 0.02)]
    cup = [(0.05, 0.012), (0.03, 0.006), (0.02, 0.008), (0.018, 0.03), (0.021, 0.032)]
    lathe("dish", [*dish, *cup, (0.015, 0.032), (0.015, 0.02), (0, 0.02)], material)
    move([ring(0.019, 0.004, material)], at(0.082, 0, 0.02, PI / 2, "X"))
    return 0.021


def _candlestick(r, material):
    """A turned stem on a round foot; returns the candle's height."""
    h = r.uniform(0.07, 0.1)
    foot = [(0, 0), (0.045, 0), (0.047, 0.006), (0.03, 0.014), (0.012, 0.024)]
    knob = [(0.011, h * 0.4), (0.02, h * 0.48), (0.011, h * 0.56), (0.01, h * 0.8)]
    cup = [(0.026, h * 0.9), (0.027, h * 0.93), (0.017, h * 0.95), (0.018, h * 1.12)]
    rest = [(0.021, h * 1.14), (0.015, h * 1.14), (0.015, h), (0, h)]
    lathe("stick", [*foot, *knob, *cup, *rest], material)
    return h


def _candelabrum(material):
    """A stem with two curved arms; returns the sockets' height."""
    foot = [(0, 0), (0.052, 0), (0.054, 0.007), (0.03, 0.016), (0.012, 0.03)]
    lathe("stem", [*foot, (0.008, 0.06), (0.014, 0.075), (0.008, 0.09)], material)
    tube("post", [(0, 0, 0.08), (0, 0, 0.13)], 0.008, material, smooth_path=False)
    for side in (-1, 1):
        arm = [(0, 0, 0.09), (0.03, 0, 0.072), (0.066, 0, 0.085), (0.075, 0, 0.13)]
        tube("arm", [(side * x, y, z) for x, y, z in arm], 0.006, material)
    for x in (-0.075, 0, 0.075):
        cup = [(0, 0.126), (0.024, 0.13), (0.024, 0.134), (0.016, 0.136)]
        profile = [*cup, (0.017, 0.152), (0.014, 0.152), (0.014, 0.14), (0, 0.14)]
        lathe("cup", profile, material, 40).location = (x, 0, 0)
    return 0.14


def candle(r, i):
    """A burning candle: in a chamberstick, on a stick, in a candelabrum, as pillars."""
    kind = pick(("chamberstick", "candlestick", "pillar", "candelabrum"), i)
    cream = ink(0.12, 0.2, 0.93)
    coloured = ink(spread_hue(i, 0.97), r.uniform(0.8, 0.95), r.uniform(0.5, 0.7))
    paint = cream if i in (1, 4, 6) else coloured
    if kind == "pillar":
        plate = ceramic(hsv(spread_hue(i, 0.6), 0.35, 0.6), 0.25)
        spots = [(0, 0, 0.11)] if i < 4 else [(-0.05, 0, 0.1), (0.05, 0.01, 0.14)]
        spots = spots if i < 4 else [*spots, (0.005, -0.065, 0.065)]
        w = 0.06 if i < 4 else 0.12
        lathe(
            "plate", [(0, 0), (w, 0), (w * 1.2, 0.012), (w, 0.007), (0, 0.006)], plate
        )
        for x, y, h in spots:
            move(_lit_candle(r, paint, 0.034, h, 0.045), at(x, y, 0.006))
        words = f"{paint.word} pillar candle on a plate"
        if i >= 4:
            words = f"group of three {paint.word} pillar candles on a plate"
        return {"type": kind, "description": words}
    name = pick(("brass", "steel", "gold", "copper", "iron"), i)
    material = ore(name, 0.25)
    xs, h = [0.0], r.uniform(0.09, 0.12)
    if kind == "chamberstick":
        z = _chamberstick(material)
    elif kind == "candlestick":
        z = _candlestick(r, material)
    else:
        z, xs = _candelabrum(material), [-0.075, 0.0, 0.075]
    for x in xs:
        move(_lit_candle(r, paint, 0.0145, h, 0.042), at(x, 0, z))
    words = f"{paint.word} candle in {an(f'{name} {kind}')}"
    if len(xs) > 1:
        words = f"{name} {kind} with three {paint.word} candles"
    return {"type": kind, "description": words}


def _hand(length, width, turn, z, material):
    """One clock hand, pointed, turned clockwise from twelve."""
    w, tail = width / 2, -length * 0.16
    outline = [
        (-w, tail),
        (w, tail),
        (w, length * 0.7),
        (0, length),
        (-w, length * 0.7),
    ]
    return move([solid("hand", outline, z, z + 0.0008, material)], at(turn=-turn))[0]


def _dial(r, radius, paper, marks, numerals):
    """A clock face in the xy plane, facing up, with hands; returns its parts."""
    dark, parts = (
        plastic(marks.rgb, 0.4),
        [disc(radius, 0, plastic(paper.rgb, 0.5), 64)],
    )
    for k in range(60):
        if k % 5 and radius < 0.04:
            continue
        long = 0.035 if k % 5 else 0.09 if not numerals else 0.06
        size = (radius * (0.015 if k % 5 else 0.035), radius * long, 0.0004)
        tick = box("tick", size, (0, radius * (0.97 - long / 2), 0.0003), dark)
        parts += move([tick], at(turn=-k * TAU / 60))
    for k in range(12) if numerals else ():
        a, q = k * TAU / 12, radius * 0.76
        number = lettering(str(k or 12), radius * 0.27, dark)
        parts += move([number], at(q * math.sin(a), q * math.cos(a), 0.0004))
    hour, minute = r.randint(1, 12), r.choice((5, 10, 20, 25, 35, 40, 50))
    a = (hour + minute / 60) * TAU / 12
    parts.append(_hand(radius * 0.5, radius * 0.09, a, 0.001, dark))
    parts.append(_hand(radius * 0.8, radius * 0.065, minute * TAU / 60, 0.002, dark))
    parts.append(disc(radius * 0.07, 0.003, dark, 24))
    return parts


def _bells(radius, top, material):
    """Two bells, a hammer and a handle on top of an alarm clock."""
    dome = spline([(radius, 0), (radius * 0.92, radius * 0.4), (0, radius * 0.85)], 8)
    for side in (-1, 1):
        bell = [(0, 0), (radius * 0.98, 0), *dome]
        parts = [lathe("bell", bell, material, 40)]
        parts.append(sphere(radius * 0.14, (0, 0, radius * 0.9), material))
        stem = [(0, 0, -0.02), (0, 0, 0)]
        parts.append(tube("stem", stem, 0.003, material, smooth_path=False))
        move(parts, at(side * radius * 1.05, 0, top - 0.001, side * 0.55, "Y"))
    post = [(0, 0, top - 0.005), (0, 0, top + radius * 0.55)]
    tube("hammer", post, 0.0022, material, smooth_path=False)
    box("head", (0.014, 0.008, 0.008), (0, 0, top + radius * 0.6), material, 0.002)
    z = top + radius * 1.1
    grip = [(-radius, 0, z - 0.008), (-radius * 0.6, 0, z + 0.008)]
    grip += [(-x, 0, zz) for x, _, zz in grip[::-1]]
    tube("grip", grip, 0.0026, material)


def _alarm_clock(r, i, paper, marks):
    """A round case on two feet with two bells."""
    paint = ink(spread_hue(i, 0.97), 0.75, 0.7)
    radius, depth, z = 0.05, 0.042, 0.066
    steel = ore(pick(("steel", "brass"), i // 4), 0.18)
    case = plastic(paint.rgb, 0.25, 0.5)
    back = [(0, 0), (radius * 0.8, 0), (radius, 0.008), (radius, depth - 0.004)]
    lip = [
        (radius * 0.97, depth),
        (radius * 0.9, depth),
        (radius * 0.88, depth - 0.004),
    ]
    parts = [lathe("case", [*back, *lip, (0, depth - 0.004)], case, 64)]
    rim = ring(radius * 0.94, 0.0032, steel, 64)
    parts += move([rim], at(z=depth))
    parts += move(_dial(r, radius * 0.88, paper, marks, True), at(z=depth - 0.003))
    move(parts, at(0, depth / 2, z) @ UPRIGHT)
    for side in (-1, 1):
        leg = [(side * 0.026, 0, z - 0.04), (side * 0.042, 0, 0.004)]
        tube("leg", leg, [0.006, 0.0035], steel, smooth_path=False)
        sphere(0.0052, (side * 0.042, 0, 0.0052), steel)
    _bells(0.023, z + radius * 0.93, steel)
    return f"{paint.word} alarm clock with two bells"


def _cased_clock(r, i, kind, paper, marks):
    """A wooden mantel clock, a carriage clock or a square desk clock."""
    if kind == "mantel":
        w, h, depth, radius, z = 0.25, 0.135, 0.06, 0.047, 0.072
        half = [
            (0.125, 0.0),
            (0.122, 0.03),
            (0.085, 0.045),
            (0.062, 0.09),
            (0.038, 0.125),
        ]
        top = [(-x, y) for x, y in half[::-1]]
        outline = [half[0], *spline([*half[1:], (0, h), *top[:-1]], 8), top[-1]]
        material, word = timber(i // 4 * 2 + 2, 5, 0)
    elif kind == "carriage":
        w, h, depth, radius, z = 0.1, 0.14, 0.07, 0.037, 0.078
        outline = [(-w / 2, 0), (w / 2, 0), (w / 2, h), (-w / 2, h)]
        paint, gold = ink(spread_hue(i, 0.0), 0.8, 0.35), ore("gold", 0.2)
        material, word = (
            (gold, "gold") if i < 4 else (plastic(paint.rgb, 0.2), paint.word)
        )
        handle = [(-0.035, 0, h), (-0.033, 0, h + 0.03), (0.033, 0, h + 0.03)]
        tube("handle", [*handle, (0.035, 0, h)], 0.004, gold)
    else:
        w, h, depth, radius, z = 0.12, 0.12, 0.05, 0.05, 0.06
        outline = rounded(w, h, 6) + np.array([0, z])
        paint = ink(spread_hue(i, 0.05), 0.65, 0.75)
        material, word = plastic(paint.rgb, 0.3, 0.3), paint.word
    parts = [solid("case", outline, 0, depth, material, 0.004)]
    rim = ring(radius * 1.02, 0.0035, ore("brass", 0.2), 64)
    parts += move([rim], at(0, z, depth))
    parts += move(_dial(r, radius, paper, marks, True), at(0, z, depth + 0.0006))
    move(parts, at(0, depth / 2) @ UPRIGHT)
    if kind != "desk":
        base = (w * 1.06, depth * 1.2, 0.014)
        move(list(bpy.data.objects), at(z=0.014))
        box("base", base, (0, 0, 0.007), material, 0.003)
    return f"{word} {kind} clock"


def clock(r, i):
    """A clock: alarm clock with bells, mantel, square desk or carriage clock."""
    kind = pick(("alarm", "mantel", "desk", "carriage"), i)
    paper = ink(0.12, 0.12, 0.93) if i != 5 else ink(0.6, 0.3, 0.12)
    marks = contrast(paper)
    if kind == "alarm":
        words = _alarm_clock(r, i, paper, marks)
    else:
        words = _cased_clock(r, i, kind, paper, marks)
    return {"type": kind, "description": words}


def _bow(kind, material):
    """The end of a key that the fingers hold, round the origin."""
    if kind == "ring":
        return [ring(0.0135, 0.0028, material)]
    if kind == "trefoil":
        spots = [(-0.011, 0), (0.002, 0.0105), (0.002, -0.0105)]
        return [move([ring(0.0085, 0.0024, material)], at(x, y))[0] for x, y in spots]
    if kind == "heart":
        t = np.arange(60) * TAU / 60
        x = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        y = 16 * np.sin(t) ** 3
        path = np.c_[x, y, 0 * t] * 0.00105
        return [tube("bow", path, 0.0026, material, closed=True, smooth_path=False)]
    parts = [ring(0.0145, 0.0026, material)]
    for k in range(4):
        spoke = [(0, 0, 0), (0.0145, 0, 0)]
        part = tube("spoke", spoke, 0.0018, material, smooth_path=False)
        parts += move([part], at(turn=k * PI / 2 + PI / 4))
    return parts


def _key(r, kind, material, length):
    """A key along x in the xy plane, bow at -x."""
    parts = _bow(kind, material)
    start = 0.0125
    shank = [(start, 0, 0), (length, 0, 0)]
    parts.append(tube("shank", shank, 0.0031, material, smooth_path=False))
    for x, q, w in [(start + 0.003, 0.0052, 0.003), (start + 0.008, 0.0042, 0.002)] + [
        (length * 0.62, 0.0044, 0.0022)
    ]:
        collar = [(x - w / 2, 0, 0), (x + w / 2, 0, 0)]
        parts.append(tube("collar", collar, q, material, smooth_path=False))
    parts.append(sphere(0.0034, (length, 0, 0), material, 16))
    depth, x0 = r.uniform(0.016, 0.02), length - 0.021
    teeth = [(0, 0), (0, -depth), (0.005, -depth), (0.005, -depth * 0.62)]
    teeth += [(0.0075, -depth * 0.62), (0.0075, -depth), (0.011, -depth)]
    teeth += [(0.011, -depth * 0.45), (0.0135, -depth * 0.45), (0.0135, -depth)]
    teeth += [(0.0175, -depth), (0.0175, 0)]
    outline = [(x0 + x, y) for x, y in teeth]
    parts.append(solid("bit", outline, -0.0016, 0.0016, material, 0.0004))
    return parts


def key(r, i):
    """An old-fashioned key lying flat: ring, trefoil, heart or wheel bow."""
    kind = pick(("ring", "trefoil", "heart", "wheel"), i)
    first, second = ("brass", "steel", "copper", "gold"), ("copper", "brass", "steel")
    name = pick((*first, *second, "copper"), i)
    parts = _key(r, kind, ore(name, 0.28), r.uniform(0.075, 0.09))
    words = f"{name} key with a {kind}-shaped bow"
    if i >= 4:
        paint = ink(spread_hue(i, 0.35), 0.8, 0.6)
        loop = ring(0.011, 0.0009, ore("steel"))
        charm = move([loop], at(-0.0215, 0.004, 0.001))
        tag = rounded(0.03, 0.018, 5, 48) + np.array([-0.044, 0.01])
        material = plastic(paint.rgb, 0.4)
        charm.append(solid("tag", tag, -0.0015, 0.0005, material, 0.0004))
        parts += move(charm, at(turn=-1.2))
        words += f" and {an(paint.word)} tag"
    drop(parts)
    return {"type": kind, "description": words}


CLASSES = {
    "candle": {"build": candle, "yaw": (-70, 70), "elev": (6, 38)},
    "clock": {"build": clock, "yaw": (-50, 50), "elev": (3, 30)},
    "key": {"build": key, "yaw": (-60, 60), "elev": (38, 72)},
}
