"""What one wears or carries: hats, glasses, backpacks and umbrellas.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from .colours import spread_hue
from .finishes import pick
from .materials import N, hsv, leather, plastic
from .mesh import box, grid, lathe, mesh, spline, tube
from .parts import (
    PI,
    TAU,
    an,
    arched,
    at,
    cloth_of,
    drop,
    ink,
    move,
    ore,
    pillow,
    ring,
    rounded,
    sphere,
    timber,
)


class HatShape(NamedTuple):
    """Crown and brim as (radius, height) points plus how they are bent."""

    profile: list  # radius 1 = where the crown meets the brim; heights in metres
    dent: float = 0.0  # depth of the crease along the crown, metres
    pinch: float = 0.0  # how far the front of the crown is squeezed, 0 to 1
    curl: float = 0.0  # rise of the brim at the sides, metres
    dip: float = 0.0  # fall of the brim at the front and back, metres
    wave: float = 0.0  # waviness of the brim, metres


HATS = {
    "top hat": HatShape(
        [(0, 0.15), (0.7, 0.15), (1.02, 0.151), (1.06, 0.15), (1.05, 0.145)]
        + [(0.97, 0.09), (0.96, 0.04), (0.99, 0.008), (1.0, 0), (1.2, 0.001)]
        + [(1.45, 0.004), (1.5, 0.008), (1.47, 0.01)],
        curl=0.022,
        dip=0.006,
    ),
    "cowboy hat": HatShape(
        [(0, 0.142), (0.5, 0.145), (0.74, 0.142), (0.82, 0.128), (0.9, 0.06)]
        + [(0.98, 0.01), (1.0, 0), (1.3, -0.002), (1.7, 0.0), (2.05, 0.004)],
        dent=0.04,
        pinch=0.3,
        curl=0.06,
        dip=0.013,
    ),
    "straw hat": HatShape(
        [(0, 0.1), (0.5, 0.1), (0.85, 0.092), (0.95, 0.075), (0.98, 0.03)]
        + [(1.0, 0.006), (1.03, 0), (1.4, -0.004), (1.9, -0.012), (2.2, -0.02)],
        wave=0.009,
    ),
    "fedora": HatShape(
        [(0, 0.118), (0.5, 0.12), (0.76, 0.117), (0.86, 0.105), (0.93, 0.06)]
        + [(0.98, 0.012), (1.0, 0), (1.2, 0.0), (1.4, 0.001), (1.62, 0.003)],
        dent=0.035,
        pinch=0.35,
        curl=0.02,
        dip=0.014,
    ),
}


def _hat_point(shape, rho, z, turn, top):
    """Bend a point of the profile of revolution into the hat's real form."""
    c, s = math.cos(turn), math.sin(turn)
    x, y = 0.076 * rho * c, 0.094 * rho * s
    if rho <= 1.001 and z > 0.03:
        up = (z - 0.03) / (top - 0.03)
        x *= 1 - shape.pinch * up * max(-s, 0) ** 2
        z -= shape.dent * up**3 * math.exp(-((x / 0.028) ** 2))
        z += shape.dent * 0.35 * up**2 * -s * rho
    if rho > 1:
        q = (rho - 1) / (shape.profile[-1][0] - 1)
        z += q * q * (shape.curl * abs(c) ** 2.5 - shape.dip * abs(s) ** 3)
        z += shape.wave * q * math.sin(5 * turn)
        x *= 1 - min(shape.curl * 4.5, 0.3) * q * q * abs(c) ** 2.5
    return x, y, z


def hat(r, i):
    """A hat: top hat, cowboy hat, straw hat or fedora, with a ribbon."""
    kind = pick(("fedora", "cowboy hat", "straw hat", "top hat"), i)
    shape = HATS[kind]
    profile = spline(shape.profile, 6)
    top = max(z for _, z in shape.profile)
    felt = ink(spread_hue(i, 0.55), r.uniform(0.3, 0.6), r.uniform(0.25, 0.55))
    felt = {
        1: ink(0.075, 0.55, 0.45),
        3: ink(0.65, 0.1, 0.09),
        4: ink(0.08, 0.25, 0.62),
    }.get(i, felt)
    if kind == "straw hat":
        felt = ink(0.12, pick((0.42, 0.25), i // 4), 0.86)
        cloth = cloth_of(felt.rgb, 350, 0.9, 0.5)
    else:
        cloth = cloth_of(felt.rgb, 900, 0.15, 0.15)
    band = ink(spread_hue(i, 0.2), 0.75, 0.5) if i != 4 else ink(0.6, 0.2, 0.08)

    def surface(u, v):
        rho, z = profile[round(v * (len(profile) - 1))]
        return _hat_point(shape, rho, z, u * TAU, top)

    rows = len(profile)
    parts = [grid("hat", surface, 96, rows, cloth, closed_u=True, thickness=0.0022)]
    side = sorted((z, rho) for rho, z in shape.profile if rho <= 1 and rho > 0.8)
    zs, radii = zip(*side, strict=True)
    tall = 0.03 if kind != "top hat" else 0.034

    def ribbon(u, v):
        z = 0.004 + v * tall
        rho = float(np.interp(z, zs, radii)) * 1.025 + 0.005
        x, y, _ = _hat_point(shape, min(rho, 1.0), z, u * TAU, top)
        return x * max(rho, 1), y * max(rho, 1), z

    parts.append(
        grid("band", ribbon, 96, 8, cloth_of(band.rgb, 900, 0.2), closed_u=True)
    )
    drop(parts)
    lead = "" if kind == "straw hat" else f"{felt.word} "
    return {"type": kind, "description": f"{lead}{kind} with {an(band.word)} ribbon"}


def _lens_outline(kind, width, height):
    """The rim of the right-hand lens in xz, its nose side at -x."""
    if kind == "round":
        return rounded(width, width * 0.96, 2)
    if kind == "square":
        return rounded(width, height, 4.5)
    outline = rounded(width, height, 2.6)
    x, z = outline[:, 0] / width, outline[:, 1] / height
    if kind == "cat-eye":
        lift = np.clip(x + 0.1, 0, 1) ** 2 * (z > -0.1) * 0.6
        return np.c_[outline[:, 0] + lift * width * 0.25, outline[:, 1] + lift * height]
    drop_ = 0.75 + 0.3 * (0.5 - z) * (0.3 - x) - 0.12 * (z < 0) * x
    return np.c_[outline[:, 0], outline[:, 1] * (1 + drop_ * (z < 0) * 0.4)]


def _lens_material(dark, tint):
    """Nearly clear, or dark tinted, shiny and see-through without refraction."""
    if dark:
        base, alpha = tuple(c * 0.25 for c in tint), 0.94
    else:
        base, alpha = (0.75, 0.85, 0.9), 0.14
    return N("lens").bsdf(Base_Color=base, Alpha=alpha, Roughness=0.04, Coat_Weight=1.0)


def glasses(r, i):
    """Spectacles or sunglasses: square, round wire, cat-eye or aviator."""
    kind = pick(("square", "round", "cat-eye", "aviator"), i)
    dark = i in (2, 3, 4, 7)
    width, height = r.uniform(0.05, 0.054), r.uniform(0.037, 0.041)
    wire = kind in ("round", "aviator")
    paint = ink(spread_hue(i, 0.6), 0.8, 0.5)
    if i in (0, 6):
        paint = pick((ink(0.6, 0.1, 0.05), ink(0.98, 0.85, 0.5)), i // 4)
    name = pick(("gold", "steel", "copper", "iron"), i // 2 + i)
    frame = ore(name, 0.2) if wire else plastic(paint.rgb, 0.2, 0.5)
    thick = 0.0016 if wire else 0.0031
    gap = 0.017 if wire else 0.016
    outline = _lens_outline(kind, width, height)
    lens = _lens_material(dark, hsv(spread_hue(i, 0.1), 0.5, 0.3))

    def wrap(x, z):
        return (x, 4.0 * x * x, z)

    parts = []
    for side in (-1, 1):
        path = [wrap(side * (gap / 2 + width / 2 + x), z) for x, z in outline]
        parts.append(
            tube("rim", path, thick, frame, closed=True, smooth_path=False, res=6)
        )
        centre = wrap(side * (gap + width) / 2, 0)
        fan = [(0, k + 1, (k + 1) % len(path) + 1) for k in range(len(path))]
        parts.append(mesh("lens", [centre, *path], fan, lens, smooth=180))
        end, top = (
            gap / 2 + width + (0.002 if kind != "cat-eye" else 0.004),
            height * 0.2,
        )
        x, y, z = wrap(side * end, top)
        ear = [(x, y, z), (x * 1.03, y + 0.012, z + 0.001), (x * 1.03, 0.1, z)]
        ear += [(x * 1.0, 0.125, z - 0.006), (x * 0.97, 0.145, z - 0.028)]
        parts.append(tube("temple", ear, thick * 0.9, frame))
    z = height * 0.16
    bridge = [wrap(x, z + q) for x, q in ((-gap / 1.9, 0), (0, 0.004), (gap / 1.9, 0))]
    parts.append(tube("bridge", bridge, thick, frame))
    if kind == "aviator":
        bar = [wrap(s * 0.02, height * 0.46) for s in (-1, 1)]
        parts.append(tube("bar", bar, thick, frame, smooth_path=False))
    drop(parts)
    what = "sunglasses" if dark else "glasses"
    colour = name if wire else paint.word
    return {"type": kind, "description": f"pair of {kind} {what} with {colour} frames"}


def _shoulder_straps(width, height, depth, material):
    """Two padded straps behind the pack that swing out to the sides."""
    for side in (-1, 1):
        path = [(0.22, 0.5, 0.95), (0.3, 0.75, 0.9), (0.46, 1.35, 0.62)]
        path += [(0.56, 1.3, 0.3), (0.5, 0.62, 0.1)]
        curve = spline(
            [(side * x * width, y * depth, z * height) for x, y, z in path], 8
        )

        def band(u, v, curve=curve):
            x, y, z = curve[round(u * (len(curve) - 1))]
            return x + (v - 0.5) * width * 0.17, y, z

        grid("strap", band, len(curve), 4, material, thickness=0.012)


def _zip(outline, y, z_from, material):
    """A dark zip along the upper part of an outline in xz."""
    path = [(x, y, z) for x, z in outline if z > z_from]
    path.sort(key=lambda p: math.atan2(p[0], p[2] - z_from))
    tube("zip", path, 0.0035, material, smooth_path=False)


def _buckle_strap(x, y, low, high, material, steel):
    """A vertical strap with a buckle on the front."""
    box("strap", (0.026, 0.006, high - low), (x, y, (low + high) / 2), material, 0.002)
    z = low + (high - low) * 0.35
    for dx in (-0.018, 0.018):
        box("bar", (0.005, 0.01, 0.034), (x + dx, y - 0.002, z), steel, 0.001)
    for dz in (-0.017, 0.017):
        box("bar", (0.041, 0.01, 0.005), (x, y - 0.002, z + dz), steel, 0.001)


def _school_pack(width, height, depth, cloth, second, trim):
    """Arched front, a pocket with a zip, a loop on top."""
    body = arched(width, height, 0.62)
    pillow("body", body, depth, cloth)
    inset = body * np.array([0.9, 0.94]) + np.array([0, height * 0.03])
    _zip(inset, -depth * 0.36, height * 0.5, trim)
    pocket = arched(width * 0.78, height * 0.46, 0.7) + np.array([0, height * 0.05])
    move([pillow("pocket", pocket, depth * 0.55, second)], at(0, -depth * 0.48))
    edge = pocket * np.array([0.93, 1]) - np.array([0, height * 0.035])
    _zip(edge, -depth * 0.735, height * 0.22, trim)
    box("pull", (0.008, 0.006, 0.03), (0.03, -depth * 0.76, height * 0.44), trim, 0.002)


def _flap_pack(width, height, depth, cloth, second, trim):
    """A rucksack with a flap held by two buckled straps, and side pockets."""
    body = rounded(width, height * 0.9, 5, 80) + np.array([0, height * 0.45])
    pillow("body", body, depth, cloth)
    flap = rounded(width * 1.03, height * 0.42, 4, 80) + np.array([0, height * 0.8])
    move([pillow("flap", flap, depth * 1.12, second)], at(0, -depth * 0.03))
    pocket = rounded(width * 0.72, height * 0.4, 4, 80) + np.array([0, height * 0.27])
    move([pillow("pocket", pocket, depth * 0.5, cloth)], at(0, -depth * 0.5))
    steel = ore("brass", 0.3)
    for x in (-0.24, 0.24):
        y = -depth * 0.6
        _buckle_strap(x * width, y - 0.012, height * 0.2, height * 0.72, trim, steel)
        side = rounded(depth * 0.62, height * 0.42, 4, 60) + np.array(
            [0, height * 0.26]
        )
        part = pillow("side", side, width * 0.3, second)
        move([part], at(math.copysign(width * 0.5, x), 0, 0, PI / 2))


def _bedroll(width, z, y, paint):
    """A rolled mat strapped across the pack."""
    length, q = width * 1.15, 0.052
    mat, dark = cloth_of(paint.rgb, 300), plastic((0.02, 0.02, 0.022), 0.5)
    roll = [(0, -length / 2), (q, -length / 2), (q, length / 2), (0, length / 2)]
    parts = [lathe("roll", roll, mat, 48, smooth=40)]
    for side in (-1, 1):
        t = np.linspace(0, 5 * TAU, 120)
        rho = q * 0.95 * t / t[-1]
        coil = np.c_[
            rho * np.cos(t), rho * np.sin(t), 0 * t + side * (length / 2 + 0.001)
        ]
        parts.append(tube("coil", coil, 0.0022, dark, smooth_path=False, res=2))
        band = ring(q + 0.001, 0.005, dark)
        parts += move([band], at(z=side * length * 0.28))
    move(parts, at(0, y, z) @ Matrix.Rotation(PI / 2, 4, "Y"))


def backpack(r, i):
    """A backpack: school pack in one or two colours, rucksack, pack with a bedroll."""
    kind = pick(("school", "rucksack", "two-tone school", "hiking"), i)
    width, depth = r.uniform(0.28, 0.31), r.uniform(0.15, 0.17)
    height = r.uniform(0.4, 0.44) * (1.1 if kind == "hiking" else 1)
    paint = ink(spread_hue(i, 0.99), r.uniform(0.85, 0.95), r.uniform(0.42, 0.6))
    if i in (1, 5):  # canvas: brown and navy
        paint = pick((ink(0.085, 0.65, 0.42), ink(0.62, 0.75, 0.3)), i // 4)
    second, words = paint, f"{paint.word} backpack"
    dark = ink(0.6, 0.15, 0.1)
    if kind == "two-tone school":
        second = ink(spread_hue(i, 0.35), 0.85, 0.55)
        words += f" with {an(second.word)} pocket"
    cloth, cloth2 = cloth_of(paint.rgb), cloth_of(second.rgb)
    trim = plastic(dark.rgb, 0.5)
    if kind == "rucksack":
        trim = leather(hsv(0.06, 0.7, 0.3))
        words += " with two buckled straps"
    if "school" in kind:
        _school_pack(width, height, depth, cloth, cloth2, trim)
    else:
        _flap_pack(width, height, depth, cloth, cloth2, trim)
    if kind == "hiking":
        roll = ink(spread_hue(i, 0.45), 0.8, 0.45)
        _bedroll(width, height * 1.09, -depth * 0.05, roll)
        words += f" with {an(roll.word)} bedroll"
    top = height * (0.985 if "school" in kind else 0.96)
    loop = [(-0.04, 0, -0.01), (-0.034, 0, 0.035), (0.034, 0, 0.035), (0.04, 0, -0.01)]
    handle = tube("loop", loop, 0.007, trim)
    move([handle], at(0, depth * 0.3, top))
    _shoulder_straps(width, height, depth, trim if kind == "rucksack" else cloth2)
    drop(list(bpy.data.objects))
    return {"type": kind, "description": words}


def _canopy(radius, rise, panels, materials, stripes):
    """The cloth of an umbrella over z = 0; ribs lie at multiples of a panel."""
    top = 1.15  # half angle of the dome

    def surface(u, v):
        turn = u * TAU
        off = abs((u * panels) % 1 - 0.5) * 2  # 1 at a rib, 0 in mid panel
        local = ((u * panels) % 1 - 0.5) * TAU / panels
        flat = math.cos(PI / panels) / math.cos(local)
        edge = 1 - 0.10 * (1 - off**2) * v**3
        q = radius * math.sin(top * v) / math.sin(top) * flat * edge
        z = rise * (math.cos(top * v) - math.cos(top)) / (1 - math.cos(top))
        z += rise * 0.10 * (1 - off**2) * v**2
        return q * math.cos(turn), q * math.sin(turn), z

    def which(u, v):
        if stripes == "panels":
            return int(u * panels) % 2
        return int(stripes == "border" and v > 0.8)

    cloth = grid(
        "canopy", surface, panels * 12 + 1, 30, materials, mat_fn=which, smooth=28
    )
    ribs = [
        [surface(k / panels, v) for v in np.linspace(0, 1, 12)] for k in range(panels)
    ]
    return cloth, ribs


def _frame(ribs, height, radius, material):
    """Ribs, their tips and the stretchers from the runner on the shaft."""
    parts = []
    for rib in ribs:
        path = [(x, y, z + height - radius * 0.008) for x, y, z in rib]
        parts.append(tube("rib", path, radius * 0.007, material, smooth_path=False))
        parts.append(sphere(radius * 0.016, path[-1], material, 12))
        stretcher = [(0, 0, height - radius * 0.22), path[5]]
        parts.append(
            tube("stay", stretcher, radius * 0.006, material, smooth_path=False)
        )
    return parts


def _parasol(radius, rise, ribs, cloth):
    """A tall pole in a round base: the canopy stands level over it."""
    height = radius * 1.35
    pole, word = timber(3, 1.5)
    _frame(ribs, height, radius, pole)
    move([cloth], at(z=height))
    top = height + rise
    tube("pole", [(0, 0, 0), (0, 0, top)], radius * 0.024, pole, smooth_path=False)
    sphere(radius * 0.04, (0, 0, top + radius * 0.02), pole)
    w = radius * 0.3
    base = [(0, 0), (w, 0), (w, w * 0.18), (w * 0.9, w * 0.26), (w * 0.2, w * 0.32)]
    stone = plastic(hsv(0.1, 0.08, 0.6), 0.8)
    lathe("base", [*base, (w * 0.16, w * 0.9), (0, w * 0.9)], stone, smooth=40)
    return word


def _rain_umbrella(i, radius, rise, ribs, cloth):
    """Shaft with a hooked handle, laid on the ground on its rim and hook."""
    steel = ore("steel", 0.3)
    height, bow = radius * 1.2, radius * 0.11
    parts = [cloth, *_frame(ribs, height, radius, steel)]
    move([cloth], at(z=height))
    shaft = [(0, 0, bow), (0, 0, height + rise)]
    parts.append(tube("shaft", shaft, radius * 0.014, steel, smooth_path=False))
    tip = [(0, 0, height + rise - 0.01), (0, 0, height + rise + radius * 0.13)]
    thick = [radius * 0.022, radius * 0.01]
    parts.append(tube("tip", tip, thick, steel, smooth_path=False))
    handle, word = timber(i + 1, 4)
    if i % 2:
        black = ink(0.6, 0.1, 0.06)
        handle, word = plastic(black.rgb, 0.3), black.word
    turns = np.linspace(0, PI * 1.05, 12)
    hook = [(-bow + bow * math.cos(a), 0, bow - bow * math.sin(a)) for a in turns]
    path = [(0, 0, radius * 0.42), (0, 0, radius * 0.25), *hook]
    parts.append(tube("handle", path, radius * 0.032, handle))
    tilt = math.atan2(height, radius * 0.97)
    drop(move(parts, at(turn=tilt, axis="Y")))
    return word


def umbrella(r, i):
    """An open umbrella lying on rim and hook, or a parasol on a pole."""
    kind = pick(("umbrella", "umbrella", "parasol", "umbrella"), i)
    stripes = pick(("plain", "panels", "panels", "border"), i)
    radius = 0.5 if kind == "umbrella" else 0.7
    rise, panels = radius * r.uniform(0.42, 0.5), 8
    main = ink(spread_hue(i, 0.98), r.uniform(0.88, 0.98), r.uniform(0.5, 0.68))
    if i == 4:
        main = ink(0.6, 0.1, 0.06)
    second = ink(0.12, 0.1, 0.93) if i % 2 == 0 else ink(spread_hue(i, 0.45), 0.6, 0.85)
    materials = [plastic(main.rgb, 0.55), plastic(second.rgb, 0.55)]
    cloth, ribs = _canopy(radius, rise, panels, materials, stripes)
    if kind == "parasol":
        words = f"{an(_parasol(radius, rise, ribs, cloth))} pole"
    else:
        words = f"a hooked {_rain_umbrella(i, radius, rise, ribs, cloth)} handle"
    colour = {
        "plain": main.word,
        "panels": f"{main.word} and {second.word}",
        "border": f"{main.word}",
    }[stripes]
    extra = f"{an(second.word)} border and {words}" if stripes == "border" else words
    return {"type": kind, "description": f"open {colour} {kind} with {extra}"}


CLASSES = {
    "hat": {"build": hat, "yaw": (-180, 180), "elev": (11, 38)},
    "glasses": {"build": glasses, "yaw": (-45, 45), "elev": (5, 38)},
    "backpack": {"build": backpack, "yaw": (-65, 65), "elev": (5, 30)},
    "umbrella": {"build": umbrella, "yaw": (-25, 45), "elev": (4, 30)},
}
