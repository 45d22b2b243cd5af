"""Balls, boats, dice, houses and rockets.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math
from typing import NamedTuple

import numpy as np
from mathutils import Matrix

from .colours import spread_hue
from .finishes import pick
from .materials import N, hsv, plastic
from .mesh import box, grid, lathe, mesh, spline, tube
from .parts import (
    PI,
    TAU,
    UPRIGHT,
    an,
    at,
    blend,
    contrast,
    drop,
    ink,
    move,
    ore,
    painted,
    ring,
    solid,
    sphere,
    timber,
    vivid,
)


def _directions(rows=150, columns=280):
    """Unit vectors over a sphere, shape (rows, columns, 3)."""
    a = np.linspace(-PI / 2, PI / 2, rows)[:, None]
    t = (np.arange(columns) * TAU / columns)[None]
    return np.stack(
        [np.cos(a) * np.cos(t), np.cos(a) * np.sin(t), np.sin(a) + 0 * t], -1
    )


def _football(d):
    """Patches of a truncated icosahedron: (pentagon?, distance to a seam)."""
    g = (1 + 5**0.5) / 2
    signs = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    rolled = [np.roll((0, a, b * g), k) for a, b in signs for k in range(3)]
    corners = np.array(rolled) / math.hypot(1, g)
    near = corners @ corners.T > 0.4
    sums = [
        corners[a] + corners[b] + corners[c]
        for a in range(12)
        for b in range(a)
        for c in range(b)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    centres = np.array(sums) / np.linalg.norm(sums, axis=1)[:, None]
    reach = np.concatenate([d @ corners.T / 2.327, d @ centres.T / 2.267], -1)
    order = np.sort(reach, -1)
    return reach.argmax(-1) < 12, (order[..., -1] - order[..., -2]) * 2.3


def _tennis_seam(d):
    """The distance of each direction to a tennis ball's curved seam."""
    t = np.linspace(0, TAU, 240, endpoint=False)
    a, b = 0.72, 0.28
    x, y = a * np.cos(t) + b * np.cos(3 * t), a * np.sin(t) - b * np.sin(3 * t)
    seam = np.stack([x, y, 2 * math.sqrt(a * b) * np.sin(2 * t)], 0)
    return np.sqrt(np.clip(2 - 2 * (d @ seam).max(-1), 0, None))


def _soft(distance, width, blur=0.012):
    """1 inside a line of the given half width, 0 outside, smooth between."""
    return np.clip((width - distance) / blur + 0.5, 0, 1)


def _ball_surface(i, kind, d):
    """Colours and dents over a ball, and the words for them."""
    white, black = ink(0.1, 0.03, 0.94), ink(0.6, 0.1, 0.05)
    hue = vivid(spread_hue(i, 0.9 if i % 2 == 0 else 0.62))
    if kind == "football":
        dark = black if i < 4 else hue
        patch, gap = _football(d)
        line = _soft(gap, 0.012, 0.02)
        colours = blend(white.rgb, dark.rgb, patch)
        colours = blend(colours, (0.12, 0.12, 0.12), line * 0.8)
        return colours, -0.012 * line, f"{dark.word} and white football"
    if kind == "basketball":
        main = ink(0.055, 0.88, 0.75) if i < 4 else hue
        x, y, z = d[..., 0], d[..., 1], d[..., 2]
        bow = np.abs(np.abs(y) - 0.56 - 0.2 * (x * x - z * z))
        line = _soft(np.minimum(np.minimum(np.abs(x), np.abs(z)), bow), 0.02)
        words = f"{main.word} basketball with black lines"
        return blend(main.rgb, black.rgb, line), -0.015 * line, words
    if kind == "beach ball":
        second = vivid(spread_hue(i, 0.25))
        turn = (np.arctan2(d[..., 1], d[..., 0]) / TAU % 1) * 6
        which = turn.astype(int) % 6
        table = [c.rgb for c in (hue, white, second, white, hue, second)]
        cap = _soft(1 - np.abs(d[..., 2]), 0.022, 0.006)
        colours = blend(np.array(table)[which], white.rgb, cap)
        words = f"{hue.word}, {second.word} and white beach ball"
        return colours, 0 * turn, words
    main = ink(0.18, 0.9, 0.8) if i < 4 else hue
    line = _soft(_tennis_seam(d), 0.055, 0.03)
    words = f"{main.word} tennis ball with a white seam"
    return blend(main.rgb, white.rgb, line), -0.01 * line, words


def ball(r, i):
    """A ball: football, basketball, beach ball or tennis ball."""
    kind = pick(("football", "basketball", "beach ball", "tennis ball"), i)
    radius = {"football": 0.11, "basketball": 0.12, "beach ball": 0.18}.get(kind, 0.033)
    d = _directions()
    colours, dents, words = _ball_surface(i, kind, d)
    rough = {"beach ball": 0.2, "tennis ball": 0.95}.get(kind, 0.42)
    part = painted(
        "ball", d * (radius * (1 + dents))[..., None], colours, Roughness=rough
    )
    if kind == "tennis ball":
        fuzz = part.data.materials[0].node_tree.nodes["Principled BSDF"]
        fuzz.inputs["Sheen Weight"].default_value = 0.15
    roll = Matrix.Rotation(r.uniform(0.5, 1.1), 4, "X") @ at(turn=r.uniform(0, TAU))
    drop(move([part], at(turn=r.uniform(-0.6, 0.6)) @ roll))
    return {"type": kind, "description": words}


def _hull(length, beam, height, materials, longship=False):
    """A hull along x, bow at +x, with a deck; returns the height of the rail."""

    def half(u):
        if longship:
            return beam * max(1 - abs(2 * u - 1) ** 2.4, 0)
        return (
            beam
            * (0.75 + 0.25 * min(u / 0.35, 1))
            * (1 - max(u - 0.4, 0) ** 2.2 / 0.325)
        )

    def rail(u):
        if longship:
            return height * (1 + 1.5 * abs(2 * u - 1) ** 4)
        return height * (1 + 0.35 * max(2 * u - 1, 0) ** 2 + 0.1 * (1 - u))

    def keel(u):
        ends = abs(2 * u - 1) if longship else max(2 * u - 1, 0)
        return height * 0.85 * ends**4

    def surface(u, v):
        w, a = max(half(u), 0.0004), PI * v
        y, z = -w * math.cos(a), rail(u) - (rail(u) - keel(u)) * math.sin(a) ** 0.55
        if u == 0 and not longship:
            y = 0.0
        rake = 0.1 * length * (z / height) * max(2 * u - 1, 0) ** 2
        return (max(u, 0.004) - 0.5) * length + rake, y, z

    def stripe(u, v):
        return int(min(v, 1 - v) < 0.03)

    def deck(u, v):
        u = 0.005 + 0.985 * u
        x, _, z = surface(u, 0)
        return x, (2 * v - 1) * half(u) * 0.97, z - height * 0.1

    grid("hull", surface, 60, 81, materials[:2], mat_fn=stripe, smooth=50)
    grid("deck", deck, 50, 5, materials[2])
    return rail(0.5)


def _sail(tack, head, clew, belly, materials, stripes=0):
    """A three-cornered sail that bulges towards -y."""
    tack, head, clew = (np.array((x, 0.0, z)) for x, z in (tack, head, clew))

    def surface(u, v):
        point = tack + (head - tack) * v + (clew - tack) * u * (1 - v)
        point[1] -= belly * math.sin(PI * u) * (1 - v) * (0.4 + v)
        return point

    def band(u, v):
        return int(stripes and 0.3 < v < 0.42)

    grid("sail", surface, 16, 33, materials, mat_fn=band, thickness=0.0008)


def _mast(x, z0, z1, thick, material):
    """A mast standing on the deck."""
    path = [(x, 0, z0), (x, 0, z1)]
    tube("mast", path, [thick, thick * 0.6], material, smooth_path=False)


def _pennant(x, z, material):
    """A little flag at the mast head, blown towards the bow."""
    outline = [(x, z - 0.018), (x + 0.045, z - 0.009), (x, z)]
    move([solid("flag", outline, -0.0006, 0.0006, material)], UPRIGHT)


def _square_sail(mast, low, high, width, materials, bars):
    """A square sail across the boat, seen obliquely, with upright bars."""

    def surface(u, v):
        w = width * (1 - 0.12 * v)
        puff = 0.25 * width * math.sin(PI * u) * math.sin(PI * (0.15 + 0.75 * v))
        return mast + 0.008 + puff, (u - 0.5) * w, low + v * (high - low)

    def bar(u, v):
        return int(u * bars) % 2

    parts = [grid("sail", surface, bars * 5 + 1, 20, materials, mat_fn=bar)]
    wood_, _ = timber(0, 6)
    yard = [(mast + 0.008, -width * 0.5, high), (mast + 0.008, width * 0.5, high)]
    parts.append(tube("yard", yard, 0.004, wood_, smooth_path=False))
    move(parts, at(mast, 0, 0, -1.1) @ at(-mast))


def boat(r, i):
    """A toy sailing boat: sloop, longship, schooner or dinghy."""
    kind = pick(("sloop", "longship", "schooner", "dinghy"), i)
    hull_paint = ink(spread_hue(i, 0.0), 0.85, 0.55)
    sail_paint = ink(spread_hue(i, 0.5), 0.75, 0.7)
    white = ink(0.11, 0.07, 0.95)
    spar, _ = timber(3, 6)
    deck, _ = timber(1, 6, 0)
    cloth = [plastic(c.rgb, 0.8) for c in (white, sail_paint)]
    base = timber(i // 4 * 4, 4, 0)
    hull_word = base[1] if kind == "longship" else hull_paint.word
    hull = base[0] if kind == "longship" else plastic(hull_paint.rgb, 0.2, 0.5)
    stripe = plastic(sail_paint.rgb if kind == "longship" else white.rgb, 0.3)
    beam, height = r.uniform(0.044, 0.052), r.uniform(0.048, 0.056)
    z = _hull(0.3, beam, height, [hull, stripe, deck], kind == "longship")
    low, words = z + 0.022, f"{sail_paint.word} and white sails"
    if kind == "longship":
        _mast(0, z * 0.8, 0.27, 0.005, spar)
        _square_sail(0, z + 0.03, 0.24, 0.2, cloth, 7)
        for k in range(7):
            y = -beam * (1 - abs((k - 3) / 5.4) ** 2.4) - 0.002
            paint = (sail_paint, white)[k % 2]
            shield = [(0, 0.004), (0.008, 0.003), (0.0125, 0), (0.012, -0.001)]
            for side in (-1, 1):
                part = lathe("shield", shield, plastic(paint.rgb, 0.4), 24)
                face = at((k - 3) * 0.029, side * -y, z, side * -PI / 2, "X")
                move([part], face)
        words = f"{an(sail_paint.word)} and white striped sail"
    elif kind == "schooner":
        for x, top in ((0.045, 0.27), (-0.05, 0.31)):
            _mast(x, z * 0.8, top, 0.004, spar)
            boom = [(x, 0, low - 0.004), (x - 0.085, 0, low - 0.004)]
            tube("boom", boom, 0.0028, spar, smooth_path=False)
            corners = (x - 0.005, low), (x - 0.005, top - 0.02), (x - 0.085, low)
            _sail(*corners, 0.016, cloth, 1)
        _sail((0.165, z + 0.014), (0.048, 0.25), (0.055, low), 0.012, cloth[::-1])
    else:
        x, top = (0.02, 0.35) if kind == "sloop" else (0.06, 0.3)
        boom_end = x - (0.13 if kind == "sloop" else 0.18)
        _mast(x, z * 0.8, top, 0.0045, spar)
        boom = [(x, 0, low - 0.004), (boom_end, 0, low - 0.004)]
        tube("boom", boom, 0.003, spar, smooth_path=False)
        main = cloth if kind == "sloop" else cloth[::-1]
        corners = (x - 0.005, low), (x - 0.005, top - 0.02), (boom_end, low)
        _sail(*corners, 0.02, main, 1)
        if kind == "sloop":
            jib = (0.165, z + 0.014), (x + 0.004, top - 0.06), (x + 0.02, low)
            _sail(*jib, 0.015, cloth[::-1])
        else:
            words = f"{an(sail_paint.word)} sail"
        _pennant(x, top + 0.012, plastic(hull_paint.rgb, 0.6))
    return {"type": kind, "description": f"{hull_word} toy {kind} with {words}"}


PIPS = {
    1: [(0, 0)],
    2: [(-1, -1), (1, 1)],
    3: [(-1, -1), (0, 0), (1, 1)],
    4: [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    5: [(-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1)],
    6: [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)],
}
FACES = {  # turns that bring the top face of a die to each of its six sides
    1: Matrix.Identity(4),
    6: Matrix.Rotation(PI, 4, "X"),
    2: Matrix.Rotation(PI / 2, 4, "X"),
    5: Matrix.Rotation(-PI / 2, 4, "X"),
    3: Matrix.Rotation(PI / 2, 4, "Y"),
    4: Matrix.Rotation(-PI / 2, 4, "Y"),
}


def _die(size, body, spot):
    """One die round the origin."""
    parts = [box("die", (size,) * 3, mat=body, bevel=size * 0.13, seg=6)]
    radius = size * 0.095
    for count, face in FACES.items():
        for x, y in PIPS[count]:
            profile = [(0, 0), (radius * 0.9, 0), (radius, -size * 0.01)]
            pip = lathe("pip", profile, spot, 24)
            where = at(x * size * 0.24, y * size * 0.24, size * 0.503)
            parts += move([pip], face @ where)
    return parts


def die(r, i):
    """Dice with pips: one, a pair, or three; ivory, coloured or wooden."""
    count, size = pick((1, 2, 1, 3), i), 0.018
    paint = ink(spread_hue(i, 0.0), r.uniform(0.85, 0.97), r.uniform(0.45, 0.65))
    if i in (1, 4):
        paint = ink(0.12, 0.14, 0.93) if i == 1 else ink(0.6, 0.15, 0.1)
    spot, body, word = contrast(paint), plastic(paint.rgb, 0.2, 0.4), paint.word
    if i == 6:
        (body, word), spot = timber(1, 40), ink(0.6, 0.1, 0.05)
    spots = [(0, 0), (1.3, 0.35), (0.5, -1.35)][:count]
    for x, y in spots:
        roll = r.choice(list(FACES.values())) @ at(turn=r.randint(0, 3) * PI / 2)
        parts = _die(size, body, plastic(spot.rgb, 0.4))
        where = at(x * size, y * size, size / 2, r.uniform(-0.7, 0.7))
        move(parts, where @ roll)
    lead = {1: "", 2: "pair of ", 3: "set of three "}[count]
    words = f"{lead}{word} {'die' if count == 1 else 'dice'} with {spot.word} pips"
    return {"type": f"{count} dice", "description": words}


def _tiles(paint):
    """Roof tiles in rows across local x, the direction of the slope."""
    node = N("tiles")
    grain = node.coord(rot=(0, 0, PI / 2))
    size = {
        "Scale": 1.0,
        "Mortar_Size": 0.0012,
        "Brick_Width": 0.02,
        "Row_Height": 0.013,
    }
    brick = node.add("TexBrick", Vector=grain, **size)
    node.set(brick, "Color1", paint.rgb)
    node.set(brick, "Color2", tuple(c * 0.6 for c in paint.rgb))
    node.set(brick, "Mortar", tuple(c * 0.15 for c in paint.rgb))
    bump = node.bump(node.math("SUBTRACT", 1.0, brick.outputs["Fac"]), 0.6, 0.002)
    return node.bsdf(Base_Color=brick.outputs["Color"], Roughness=0.7, Normal=bump)


def _siding(paint, row):
    """Boards or logs: horizontal dark lines every ``row`` metres."""
    node = N("siding")
    z = node.xyz(node.coord(kind="Generated"))[1]
    line = node.math("FRACT", node.math("MULTIPLY", z, 1 / row))
    shade = node.ramp(line, [(0.0, (0, 0, 0)), (0.15, (1, 1, 1)), (1.0, (0.75,) * 3)])
    colour = node.mix(shade, tuple(c * 0.3 for c in paint.rgb), paint.rgb)
    return node.bsdf(Base_Color=colour, Roughness=0.7)


def _window(x, z, w, h, y, frame):
    """A window with a cross on the front wall."""
    glass = plastic((0.03, 0.07, 0.12), 0.08, 0.5)
    box("pane", (w, 0.004, h), (x, y, z), glass)
    for dx in (-w / 2, 0, w / 2):
        size = 0.005 if dx else 0.003
        box("bar", (size, 0.007, h + 0.005), (x + dx, y - 0.001, z), frame)
    for dz in (-h / 2, 0, h / 2):
        size = 0.005 if dz else 0.003
        box("bar", (w + 0.005, 0.007, size), (x, y - 0.001, z + dz), frame)
    box("sill", (w + 0.014, 0.012, 0.005), (x, y - 0.003, z - h / 2 - 0.004), frame)


def _door(x, y, w, h, paint, frame):
    """A door with a frame, a knob and a step."""
    box("frame", (w + 0.012, 0.005, h + 0.006), (x, y, h / 2 + 0.003), frame, 0.001)
    box("door", (w, 0.009, h), (x, y, h / 2), plastic(paint.rgb, 0.35), 0.001)
    sphere(0.0028, (x + w * 0.32, y - 0.007, h * 0.48), ore("brass"), 12)
    step = plastic((0.3, 0.29, 0.28), 0.9)
    box("step", (w + 0.03, 0.026, 0.008), (x, y - 0.012, 0.004), step, 0.001)


def _gable(width, depth, wall, rise, walls, tiles):
    """Walls with two gables and a pitched roof, ridge along y."""
    w = width / 2
    outline = [(-w, 0), (w, 0), (w, wall), (0, wall + rise), (-w, wall)]
    parts = [solid("walls", outline, -depth / 2, depth / 2, walls)]
    move(parts, UPRIGHT)
    pitch, over = math.atan2(rise, w), 0.018
    length = math.hypot(w, rise) + over
    for side in (-1, 1):
        slab_ = box("roof", (length, depth + 2 * over, 0.008), mat=tiles)
        x = side * (length / 2) * math.cos(pitch)
        z = wall + rise - length / 2 * math.sin(pitch) + 0.006
        turn = Matrix.Rotation(side * pitch, 4, "Y")
        parts += move([slab_], Matrix.Translation((x, 0, z)) @ turn)
    ridge = [(0, -depth / 2 - over, 0), (0, depth / 2 + over, 0)]
    cap = tube("ridge", ridge, 0.006, tiles, smooth_path=False)
    return parts + move([cap], at(z=wall + rise + 0.007))


def _hip(width, depth, wall, rise, walls, tiles):
    """A box with a roof that slopes on all four sides."""
    box("walls", (width, depth, wall), (0, 0, wall / 2), walls)
    w, d, q = width / 2 + 0.02, depth / 2 + 0.02, width * 0.2
    z = wall - 0.002
    verts = [(-w, -d, z), (w, -d, z), (w, d, z), (-w, d, z), (-q, 0, z + rise)]
    faces = [(0, 1, 5, 4), (2, 3, 4, 5), (1, 2, 5), (3, 0, 4), (0, 1, 2, 3)]
    mesh("roof", [*verts, (q, 0, z + rise)], faces, tiles, smooth=0)


def house(r, i):
    """A model house: cottage, town house, villa with a hip roof or log cabin."""
    kind = pick(("cottage", "town house", "villa", "cabin"), i)
    wall_paint = pick(
        (ink(0.11, 0.15, 0.92), ink(0.005, 0.7, 0.5), ink(0.58, 0.35, 0.8))
        + (ink(0.075, 0.6, 0.45), ink(0.13, 0.6, 0.85), ink(0.35, 0.3, 0.7))
        + (ink(0.96, 0.35, 0.85), ink(0.085, 0.5, 0.62)),
        i,
    )
    roof_paint = ink(spread_hue(i, 0.99), 0.75, 0.5)
    door_paint = ink(spread_hue(i, 0.3), 0.8, 0.5)
    white, tiles = plastic((0.8, 0.79, 0.76), 0.5), _tiles(roof_paint)
    walls = plastic(wall_paint.rgb, 0.8)
    width, depth = r.uniform(0.19, 0.22), r.uniform(0.14, 0.16)
    if kind == "cottage":
        wall, rise = 0.1, 0.085
        parts = _gable(depth, width, wall, rise, walls, tiles)
        move(parts, at(turn=PI / 2))
        windows, chimney = [(-0.062, 0.055), (0.062, 0.055)], (0.055, 0.02)
    elif kind == "villa":
        wall, rise, width = 0.105, 0.075, width * 1.15
        _hip(width, depth, wall, rise, walls, tiles)
        windows = [(-0.076, 0.06), (0.076, 0.06)]
        chimney = (-0.06, 0.012)
    else:
        two = kind == "town house"
        wall, rise, width = (0.17, 0.09, 0.15) if two else (0.085, 0.1, 0.19)
        walls = walls if two else _siding(wall_paint, 0.065)
        _gable(width, depth, wall, rise, walls, tiles)
        windows = [(-0.04, 0.12), (0.04, 0.12), (0.043, 0.05), (0, 0.195)]
        windows = windows if two else [(-0.058, 0.052), (0.058, 0.052), (0, 0.125)]
        chimney = (0.045, 0.03)
    front = -depth / 2
    door_x = -0.03 if kind == "town house" else 0
    _door(door_x, front, 0.036, 0.068, door_paint, white)
    for x, z in windows:
        _window(x, z, 0.036, 0.038, front, white)
    x, y = chimney
    brick = plastic(hsv(0.02, 0.65, 0.4), 0.9)
    top = wall + rise + 0.03
    box("chimney", (0.026, 0.026, top - wall), (x, y, (top + wall) / 2), brick)
    box("pot", (0.034, 0.034, 0.008), (x, y, top), plastic((0.2, 0.19, 0.18), 0.9))
    words = f"{wall_paint.word} toy {kind} with {an(roof_paint.word)} roof"
    return {"type": kind, "description": f"{words} and {an(door_paint.word)} door"}


class Rocket(NamedTuple):
    """A rocket's outline and what is fixed to it."""

    outline: list  # (radius, height), nozzle end first, in units of the length
    nose: float  # height where the nose's colour begins
    bands: tuple  # heights between which the trim colour shows
    fin: list  # outline of a fin as (distance from the hull's axis, height)
    fins: int
    windows: tuple  # heights of portholes


ROCKETS = {
    "round": Rocket(
        [(0.09, 0.1), (0.14, 0.22), (0.172, 0.4), (0.155, 0.62), (0.1, 0.84), (0, 1.0)],
        0.78,
        ((0.2, 0.25),),
        [(0.1, 0.36), (0.2, 0.3), (0.29, 0.14), (0.3, 0), (0.26, 0.0), (0.2, 0.1)]
        + [(0.08, 0.16)],
        3,
        (0.56,),
    ),
    "slim": Rocket(
        [(0.085, 0.06), (0.09, 0.08), (0.09, 0.3), (0.09, 0.7), (0.07, 0.83), (0, 1.0)],
        0.74,
        ((0.22, 0.27), (0.5, 0.53), (0.55, 0.58)),
        [(0.07, 0.3), (0.2, 0.12), (0.2, 0.0), (0.17, 0.0), (0.07, 0.08)],
        4,
        (0.66,),
    ),
    "staged": Rocket(
        [(0.12, 0.05), (0.12, 0.06), (0.12, 0.44), (0.12, 0.46), (0.08, 0.52)]
        + [(0.08, 0.54), (0.08, 0.72), (0.08, 0.74), (0.05, 0.82), (0.03, 0.88)]
        + [(0.012, 0.9), (0.01, 0.98), (0, 1.0)],
        0.74,
        ((0.12, 0.16), (0.4, 0.44), (0.58, 0.62)),
        [(0.1, 0.2), (0.19, 0.08), (0.19, 0), (0.1, 0.0)],
        4,
        (),
    ),
    "bulb": Rocket(
        [(0.1, 0.09), (0.11, 0.14), (0.13, 0.3), (0.16, 0.5), (0.165, 0.66)]
        + [(0.12, 0.84), (0, 1.0)],
        0.8,
        ((0.36, 0.42),),
        [(0.1, 0.3), (0.26, 0.2), (0.28, 0), (0.23, 0.0), (0.2, 0.08), (0.08, 0.12)],
        4,
        (0.56, 0.7),
    ),
}


def _boosters(length, radius, materials):
    """Four small rockets round the foot of a big one."""
    outline = [(0, 0.03), (0.045, 0.03), (0.05, 0.05), (0.05, 0.3), (0.03, 0.37)]
    profile = [(q * length, z * length) for q, z in [*outline, (0, 0.41)]]
    for k in range(4):
        part = lathe("booster", profile, materials, 32, lambda j: int(j >= 3))
        move([part], at(turn=k * PI / 2) @ at(radius + 0.045 * length))


def _porthole(radius, z, lean, turn):
    """A round window with a steel ring on the hull."""
    pane = plastic((0.04, 0.14, 0.25), 0.06, 0.6)
    steel, q = ore("steel", 0.2), 0.0145
    dome = [(q, 0), (q * 0.8, q * 0.22), (0, q * 0.3)]
    parts = [lathe("pane", dome, pane, 32), ring(q, q * 0.25, steel, 40)]
    face = Matrix.Rotation(PI / 2 - lean, 4, "X")
    move(parts, at(turn=turn) @ Matrix.Translation((0, -radius, z)) @ face)


def rocket(r, i):
    """A toy rocket on its fins: round, slim, staged with boosters or bulbous."""
    kind = pick(("round", "slim", "staged", "bulb"), i)
    shape, length = ROCKETS[kind], r.uniform(0.24, 0.28)
    main = (
        ink(0.1, 0.05, 0.93) if i in (1, 2, 4) else ink(spread_hue(i, 0.6), 0.85, 0.6)
    )
    trim = ink(spread_hue(i, 0.0), 0.9, 0.55)
    curve = shape.outline if kind == "staged" else spline(shape.outline, 14)
    curve = [(q * length, z * length) for q, z in curve]
    zs = [z for _, z in curve]
    edges = sorted(
        {z * length for pair in shape.bands for z in pair} | {shape.nose * length}
    )
    radii = [q for q, _ in curve]
    profile = sorted(
        [(z, q) for q, z in curve]
        + [(z, float(np.interp(z, zs, radii))) for z in edges],
        key=lambda p: (p[0], -p[1]),
    )
    profile = [(0, profile[0][0]), *[(q, z) for z, q in profile]]

    def colour_of(k):
        z = (profile[k][1] + profile[k + 1][1]) / 2 / length
        return int(z > shape.nose or any(a < z < b for a, b in shape.bands))

    paints = [plastic(main.rgb, 0.2, 0.5), plastic(trim.rgb, 0.2, 0.5)]
    lathe("hull", profile, paints, 64, colour_of, 40)
    z0 = shape.outline[0][1]
    nozzle = [
        (0.03, z0 + 0.02),
        (0.05, z0 - 0.025),
        (0.07, z0 - 0.05),
        (0.06, z0 - 0.05),
    ]
    nozzle = [(q * length, z * length) for q, z in nozzle]
    lathe("nozzle", nozzle, ore("iron", 0.4), 40)
    fin = [(q * length, z * length) for q, z in shape.fin]
    for k in range(shape.fins):
        part = solid("fin", fin, -0.003, 0.003, paints[1], 0.001)
        where = at(turn=k * TAU / shape.fins + PI / shape.fins + PI / 2)
        move([part], where @ UPRIGHT)
    if kind == "staged":
        _boosters(length, 0.12 * length, paints)
    for z in shape.windows:
        here = [float(np.interp((z + d) * length, zs, radii)) for d in (0, 0.02)]
        lean = math.atan2(here[0] - here[1], 0.02 * length)
        for turn in (0, TAU / 3, -TAU / 3):
            _porthole(here[0], z * length, lean, turn)
    words = f"{main.word} toy rocket with {an(trim.word)} nose and fins"
    return {"type": kind, "description": words}


CLASSES = {
    "ball": {"build": ball, "yaw": (-70, 70), "elev": (8, 45)},
    "boat": {"build": boat, "yaw": (-50, 28), "elev": (3, 28)},
    "die": {"build": die, "yaw": (-180, 180), "elev": (18, 50)},
    "house": {"build": house, "yaw": (-55, 55), "elev": (5, 32)},
    "rocket": {"build": rocket, "yaw": (-180, 180), "elev": (2, 28)},
}
