"""Books.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import bpy
from mathutils import Matrix

from .colours import colour_word
from .finishes import own_colour, pick
from .materials import (
    METALS,
    N,
    any_color,
    neutral,
)
from .mesh import box, grid

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


CLASSES = {
    "book": dict(build=book, yaw=(-60, 60), elev=(25, 65)),
}
