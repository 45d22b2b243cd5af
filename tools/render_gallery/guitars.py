"""Guitars, built lying on their backs (x right, y along the neck, z up), then stood up.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from .colours import colour_word
from .finishes import own_colour, pick
from .materials import METALS, WOODS, N, metal, plastic, wood
from .mesh import box, lathe, slab, spline, tube

# Half of the acoustic body: (half width, place along the neck), from the end pin up.
ACOUSTIC = """
0 0, 0.006 0.09, 0.05 0.165, 0.13 0.19, 0.21 0.168, 0.275 0.125, 0.34 0.118,
0.405 0.142, 0.455 0.125, 0.485 0.07, 0.49 0
"""
# The electric body, once round.
ELECTRIC = """
0 0, 0.09 0.006, 0.155 0.06, 0.165 0.13, 0.135 0.2, 0.125 0.25, 0.15 0.32, 0.165 0.39,
0.14 0.40, 0.1 0.345, 0.06 0.325, 0.035 0.33, -0.035 0.33, -0.07 0.33, -0.10 0.36,
-0.15 0.43, -0.175 0.41, -0.16 0.33, -0.125 0.25, -0.135 0.19, -0.165 0.12,
-0.15 0.05, -0.085 0.004
"""
ELECTRIC_GUARD = """
0.115 0.08, 0.13 0.14, 0.1 0.2, 0.095 0.26, 0.12 0.33, 0.07 0.31, -0.03 0.31,
-0.09 0.32, -0.11 0.36, -0.13 0.34, -0.09 0.25, -0.05 0.2, 0.02 0.12, 0.06 0.06
"""
ACOUSTIC_HEAD = """
-0.024 0, -0.037 0.035, -0.034 0.16, -0.015 0.172, 0 0.165, 0.015 0.172, 0.034 0.16,
0.037 0.035, 0.024 0
"""
ELECTRIC_HEAD = """
-0.024 0, -0.045 0.03, -0.035 0.10, -0.028 0.16, -0.01 0.185, 0.015 0.18, 0.02 0.15,
0.022 0.06, 0.024 0
"""
HOLE = 0.325  # where the acoustic guitar's sound hole is, along y
NECK = 0.024  # half the neck's width


def _points(text):
    return [tuple(map(float, point.split())) for point in text.split(",")]


class _Shape(NamedTuple):
    """What the parts have to know of each other."""

    acoustic: bool
    length: float  # of the body
    thick: float

    @property
    def end(self):
        """Where the neck ends and the head begins, along y."""
        return self.length + (0.28 if self.acoustic else 0.32)

    @property
    def height(self):
        """The neck's face."""
        return self.thick + 0.004

    @property
    def bridge(self):
        """Where the strings begin, along y."""
        return 0.16 if self.acoustic else 0.13

    @property
    def board(self):
        """Where the fretboard begins, along y."""
        return HOLE + 0.055 if self.acoustic else 0.31


def _shift(ob, loc):
    ob.location = loc
    return ob


def _outline(acoustic):
    if not acoustic:
        return [tuple(p) for p in spline(_points(ELECTRIC), 8, closed=True)]
    half = spline([(y, x) for x, y in _points(ACOUSTIC)], 8)
    return [(x, z) for x, z in half] + [(-x, z) for x, z in half[-2:0:-1]]


def _top(r, i, acoustic):
    """The material of the body's face, and the words for the guitar."""
    n = N("top")
    v = n.coord()
    if not acoustic:
        c = own_colour(r, i, 0.35, (0.65, 0.95), (0.4, 0.9))
        top = n.bsdf(Base_Color=c, Roughness=0.2, Coat_Weight=1.0, Coat_Roughness=0.03)
        return top, f"{colour_word(c)} electric guitar"
    burst = i % 4 == 2
    timbers = [
        (WOODS[3], "pale"),
        (((0.6, 0.27, 0.07), (0.42, 0.16, 0.04)), "honey-coloured"),
        (WOODS[4], "reddish brown"),
        (WOODS[0], "brown"),
    ]
    pair, timber = pick(timbers, i // 2)
    c = n.mix(n.noise(n.coord((90, 1.2, 1)), 1.5, 3, 0.5, 0.3), *pair)
    if burst:
        x, y, _ = n.xyz(v)
        across = n.math("POWER", n.math("MULTIPLY", x, 1.15), 2.0)
        middle = n.math("MULTIPLY", n.math("SUBTRACT", y, 0.21), 0.8)
        d = n.math("SQRT", n.math("ADD", across, n.math("POWER", middle, 2.0)))
        rim = n.ramp(d, [(0.09, (0, 0, 0)), (0.2, (1, 1, 1))])
        c = n.mix(rim, c, (0.05, 0.012, 0.004))
    top = n.bsdf(Base_Color=c, Roughness=0.25, Coat_Weight=0.8, Coat_Roughness=0.05)
    return top, f"{timber} acoustic guitar" + " with a dark rim" * burst


def _body(r, shape, top):
    """The body, and the acoustic one's binding."""
    outline, rim, side = _outline(shape.acoustic), 0.009, top
    if shape.acoustic:
        rim = 0.004
        side = wood(r.choice([WOODS[4], WOODS[2], WOODS[0]]), 1.4, 1, 0.3, 0.7)
    bind = plastic(r.choice([(0.85, 0.8, 0.65), (0.02, 0.02, 0.02)]), 0.3)
    mats = [side, side, top]
    parts = [slab("body", outline, 0, shape.thick, mats, rim, idx=(0, 1, 2))]
    if shape.acoustic:
        o = np.array(outline)
        path = np.c_[o * 0.997, np.full(len(o), shape.thick - 0.001)]
        how = {"closed": True, "res": 3, "smooth_path": False}
        parts.append(tube("bind", path, 0.0028, bind, **how))
    return parts


def _acoustic_face(r, T, dark):
    """Sound hole, bridge and perhaps a pick guard."""
    parts = []
    for R, up, colour, rough in (
        (0.066, 0.0004, (0.03, 0.02, 0.015), 0.4),
        (0.060, 0.0006, (0.75, 0.65, 0.45), 0.4),
        (0.055, 0.0008, (0.03, 0.02, 0.015), 0.4),
        (0.050, 0.001, (0.004, 0.003, 0.002), 1),
    ):
        mat, z = plastic(colour, rough), T + up
        disc = lathe("d", [(0, z), (R, z)], mat, 48)
        parts.append(_shift(disc, (0, HOLE, 0)))
    parts.append(
        box("bridge", (0.16, 0.03, 0.009), (0, 0.155, T + 0.0045), dark, 0.002)
    )
    bone, place = plastic((0.85, 0.82, 0.7), 0.3), (0, 0.16, T + 0.011)
    parts.append(box("saddle", (0.075, 0.003, 0.006), place, bone, 0.001))
    if r.random() < 0.6:
        guard = [
            (0.05, HOLE + 0.02),
            (0.062, HOLE - 0.03),
            (0.095, HOLE - 0.1),
            (0.075, HOLE - 0.13),
            (0.035, HOLE - 0.085),
            (0.03, HOLE - 0.05),
        ]
        mats = [plastic((0.02, 0.012, 0.008), 0.15)] * 3
        outline = spline(guard, 6, closed=True)
        parts.append(slab("pick", outline, T, T + 0.0012, mats))
    return parts


def _electric_face(r, T):
    """Pick guard, pickups, bridge and knobs."""
    mats = [plastic(r.choice([(0.85, 0.85, 0.82), (0.02, 0.02, 0.02)]), 0.2)] * 3
    guard = [(x * 0.92, y) for x, y in _points(ELECTRIC_GUARD)]
    outline = spline(guard, 6, closed=True)
    parts = [slab("pg", outline, T, T + 0.002, mats, 0.0006)]
    dark = plastic(r.choice([(0.02, 0.02, 0.02), (0.85, 0.85, 0.8)]), 0.3)
    for y in (0.17, 0.225, 0.28):
        rot = (0, 0, 0.15 if y < 0.2 else 0)
        place = (0, y, T + 0.005)
        parts.append(box("pu", (0.08, 0.02, 0.008), place, dark, 0.006, rot=rot))
    steel, middle = metal(METALS["steel"], 0.2), (0, 0.125, T + 0.006)
    parts.append(box("bridge", (0.08, 0.04, 0.01), middle, steel, 0.003))
    profile = [(0.011, 0), (0.011, 0.008), (0.009, 0.012), (0, 0.012)]
    for k in range(3):
        mat = r.choice([dark, metal(METALS["steel"])])
        x, y = 0.075 + 0.012 * k, 0.135 - 0.033 * k
        parts.append(_shift(lathe("knob", profile, mat, 24), (x, y, T + 0.002)))
    return parts


def _neck(r, shape, dark):
    """Neck, fretboard, frets, inlays and nut; with the neck's wood and the inlays'."""
    end, z = shape.end, shape.height
    timber = wood(r.choice([WOODS[3], WOODS[0], WOODS[4]]), 1.5, 1, 0.3, 0.5)
    start = shape.length - 0.01
    size = (NECK * 2, end - start + 0.04, 0.022)
    middle = (end + start) / 2 - 0.02
    parts = [box("neck", size, (0, middle, z - 0.010), timber, 0.006)]
    board = dark if r.random() < 0.7 else timber
    flat = (NECK * 2 + 0.002, end - shape.board, 0.006)
    middle = (end + shape.board) / 2
    parts.append(box("fb", flat, (0, middle, z + 0.003), board, 0.001))
    scale = end - shape.bridge
    steel, inlay = metal(METALS["steel"], 0.2), plastic((0.85, 0.85, 0.8), 0.3)
    for k in range(1, 20):
        y = end - scale * (1 - 2 ** (-k / 12))
        if y < shape.board + 0.004:
            break
        parts.append(box("fret", (NECK * 2, 0.002, 0.002), (0, y, z + 0.0067), steel))
        if k in (3, 5, 7, 9, 12):
            y2 = end - scale * (1 - 2 ** (-(k - 0.5) / 12))
            dot = lathe("in", [(0, z + 0.0063), (0.005, z + 0.0063)], inlay, 16)
            parts.append(_shift(dot, (0, y2, 0)))
    parts.append(box("nut", (NECK * 2, 0.004, 0.009), (0, end, z + 0.005), inlay))
    return parts, timber, inlay


def _head(shape, timber, dark):
    outline = _points(ACOUSTIC_HEAD if shape.acoustic else ELECTRIC_HEAD)
    mats = [timber, timber, dark if shape.acoustic else timber]
    head = slab("head", outline, -0.007, 0.007, mats, 0.002, idx=(0, 1, 2))
    head.location = (0, shape.end, shape.height)
    head.rotation_euler = (-0.15, 0, 0)
    return head


def _pegs(r, shape, inlay):
    """Posts and pegs, three a side or six in a row; with where the strings end."""
    steel = metal(METALS[r.choice(["steel", "gold"])], 0.2)
    parts, ends = [], []
    for k in range(6):
        if shape.acoustic:
            side = -1 if k < 3 else 1
            y = 0.04 + (k % 3) * 0.045
            x, out = side * 0.022, side * 0.05
        else:
            y, x = 0.025 + k * 0.025, -0.024 + k * 0.003
            out = x - 0.035
        z, y0 = shape.height + 0.008 - y * 0.15, shape.end + y
        post = [(x, y0, z - 0.01), (x, y0, z + 0.008)]
        parts.append(tube("post", post, 0.0035, steel, smooth_path=False))
        ends.append((x, y0, z + 0.004))
        shaft = [(x, y0, z - 0.012), (out, y0, z - 0.012)]
        parts.append(tube("pegs", shaft, 0.002, steel, smooth_path=False))
        mat = inlay if shape.acoustic else steel
        place = (out, y0, z - 0.012)
        parts.append(box("peg", (0.012, 0.018, 0.006), place, mat, 0.0025))
    return parts, ends


def _strings(shape, ends):
    steel = metal(METALS["steel"], 0.3)
    order = [0, 1, 2, 5, 4, 3] if shape.acoustic else range(6)
    low = shape.thick + 0.013 if shape.acoustic else shape.thick + 0.014
    parts = []
    for k, peg in zip(range(6), order, strict=True):
        fx = -0.85 + 1.7 * k / 5
        nut = (fx * NECK * 0.85, shape.end, shape.height + 0.010)
        path = [(fx * 0.034, shape.bridge, low), nut, ends[peg]]
        how = {"res": 2, "smooth_path": False, "cap": False}
        parts.append(tube("string", path, 0.0007 + 0.0002 * (5 - k) / 5, steel, **how))
    return parts


def _stand():
    black = plastic((0.015, 0.015, 0.015), 0.4)
    for s in (-1, 1):
        foot = [(0.20, -0.12, 0.01), (0.14, 0.0, 0.05), (0.13, 0.13, 0.16)]
        foot.append((0.05, 0.22, 0.30))
        tube("stand", [(s * x, y, z) for x, y, z in foot], 0.009, black)
        hook = [(0.09, 0.12), (-0.04, 0.06), (-0.13, 0.055), (-0.14, 0.085)]
        tube("hook", [(s * 0.13, y, z) for y, z in hook], 0.009, black)
        rear = [(s * 0.05, 0.22, 0.30), (s * 0.10, 0.34, 0.01)]
        tube("rear", rear, 0.009, black, smooth_path=False)
    cross = [(-0.14, 0.09, 0.12), (0.14, 0.09, 0.12)]
    tube("cross", cross, 0.008, black, smooth_path=False)


def guitar(r, i):
    """An acoustic or electric guitar on a stand."""
    acoustic = pick(["acoustic", "electric"], i) == "acoustic"
    shape = _Shape(True, 0.49, 0.1) if acoustic else _Shape(False, 0.37, 0.042)
    top, words = _top(r, i, acoustic)
    parts = _body(r, shape, top)
    dark = wood(WOODS[2], 2, 1, 0.4)
    if acoustic:
        parts += _acoustic_face(r, shape.thick, dark)
    else:
        parts += _electric_face(r, shape.thick)
    neck, timber, inlay = _neck(r, shape, dark)
    parts += [*neck, _head(shape, timber, dark)]
    pegs, ends = _pegs(r, shape, inlay)
    parts += [*pegs, *_strings(shape, ends)]
    # stood up: +y becomes up, the front faces -y and leans back
    lean = r.uniform(0.10, 0.2)
    turn = Matrix.Rotation(math.pi / 2 - lean, 4, "X")
    up = Matrix.Translation((0, 0, 0.07)) @ turn
    bpy.context.view_layer.update()
    for part in parts:
        part.matrix_world = up @ part.matrix_world
    _stand()
    return {"description": f"{words} on a stand"}


CLASSES = {"guitar": {"build": guitar, "yaw": (-55, 55), "elev": (3, 28)}}
