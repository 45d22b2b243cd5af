"""Colours with words, and pieces that several classes are put together from."""

import math
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from .colours import colour_word
from .materials import METALS, WOOD_WORDS, WOODS, N, fabric, hsv, metal, wood
from .mesh import grid, lathe, mesh, slab, spline, tube

PI, TAU = math.pi, 2 * math.pi
UPRIGHT = Matrix.Rotation(PI / 2, 4, "X")  # what lies in xy facing up now faces -y


class Ink(NamedTuple):
    """A colour as a material takes it and as a caption says it."""

    rgb: tuple
    word: str


def ink(h, s, v):
    """The colour of a hue, saturation and value with its word."""
    rgb = hsv(h, s, v)
    return Ink(rgb, colour_word(rgb))


def an(words):
    """The words with their indefinite article."""
    return f"an {words}" if words[0] in "aeio" else f"a {words}"


def contrast(paint):
    """Near-black on light paint, near-white on dark paint."""
    luminance = 0.21 * paint.rgb[0] + 0.72 * paint.rgb[1] + 0.07 * paint.rgb[2]
    return ink(0.6, 0.1, 0.05) if luminance > 0.25 else ink(0.1, 0.04, 0.94)


def vivid(h):
    """A strong colour: yellows are lighter than the rest, else they turn olive."""
    return ink(h, 0.92, 0.82 if 0.08 < h % 1 < 0.2 else 0.55)


def cloth_of(rgb, scale=260, bump=0.5, variety=0.25):
    """Woven cloth without the haze that a strong sheen lays over dark colours."""
    material = fabric(rgb, scale, 0.9, bump, variety)
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Sheen Weight"].default_value = 0.03
    return material


def timber(k, scale=3.0, axis=2):
    """A wood of the list as (material, words)."""
    k %= len(WOODS)
    return wood(WOODS[k], scale, axis, 0.4, 0.2, k * 1.7), f"{WOOD_WORDS[k]} wooden"


def ore(name, rough=0.22):
    """A metal by its name."""
    return metal(METALS[name], rough)


def move(parts, matrix):
    """Apply a matrix to finished objects; returns them."""
    bpy.context.view_layer.update()
    for part in parts:
        part.matrix_world = matrix @ part.matrix_world
    return parts


def drop(parts):
    """Lower or raise objects together until the lowest point lies on z = 0."""
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    low = math.inf
    for part in parts:
        evaluated = part.evaluated_get(graph)
        matrix = evaluated.matrix_world
        low = min(low, *((matrix @ v.co).z for v in evaluated.to_mesh().vertices))
        evaluated.to_mesh_clear()
    return move(parts, Matrix.Translation((0, 0, -low)))


def at(x=0.0, y=0.0, z=0.0, turn=0.0, axis="Z"):
    """A rotation by ``turn`` followed by a shift."""
    return Matrix.Translation((x, y, z)) @ Matrix.Rotation(turn, 4, axis)


def solid(name, outline, z0, z1, material, bevel=0.0):
    """An extruded outline of one material."""
    return slab(name, outline, z0, z1, [material], bevel, idx=(0, 0, 0))


def disc(radius, z, material, n=48):
    """A flat disc at height z."""
    return lathe("disc", [(0, z), (radius, z)], material, n)


def sphere(radius, location, material, n=24):
    """A ball given by its centre."""
    turns = np.linspace(-PI / 2, PI / 2, n // 2 + 1)
    profile = [(radius * math.cos(a), radius * math.sin(a)) for a in turns]
    ball_part = lathe("sphere", profile, material, n, smooth=180)
    ball_part.location = location
    return ball_part


def ring(radius, thick, material, n=48):
    """A torus in the xy plane."""
    turns = np.arange(n) * TAU / n
    path = [(radius * math.cos(a), radius * math.sin(a), 0) for a in turns]
    return tube("ring", path, thick, material, closed=True, smooth_path=False)


def lettering(string, size, material):
    """Centred text as a mesh in the xy plane."""
    curve = bpy.data.curves.new("text", "FONT")
    curve.body, curve.size, curve.extrude = string, size, size * 0.02
    curve.align_x = curve.align_y = "CENTER"
    holder = bpy.data.objects.new("text", curve)
    bpy.context.scene.collection.objects.link(holder)
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    data = bpy.data.meshes.new_from_object(holder.evaluated_get(graph))
    bpy.data.objects.remove(holder)
    data.materials.clear()
    data.materials.append(material)
    part = bpy.data.objects.new("text", data)
    bpy.context.scene.collection.objects.link(part)
    return part


def rounded(width, height, power=4.0, n=64):
    """A superellipse outline; power 2 is an ellipse, higher is squarer."""
    turns = np.arange(n) * TAU / n
    c, s = np.cos(turns), np.sin(turns)
    x = np.sign(c) * np.abs(c) ** (2 / power) * width / 2
    y = np.sign(s) * np.abs(s) ** (2 / power) * height / 2
    return np.c_[x, y]


def arched(width, height, shoulder=0.6, corner=0.12):
    """A tombstone outline in xy: feet on y = 0, round top."""
    w, k = width / 2, corner * width
    top = [(w, height * shoulder), (w * 0.86, height * 0.86), (w * 0.5, height * 0.97)]
    half = [(w - k, 0), (w - k * 0.3, k * 0.3), (w, k), *top]
    left = [(-x, y) for x, y in half[::-1]]
    return spline([(0, 0), *half, (0, height), *left], 6, closed=True)


def pillow(name, outline, depth, material, power=3.5):
    """A padded shape: the outline in xz, swelling over ``depth`` along y."""
    outline = np.asarray(outline, float)
    centre, n = outline.mean(0), len(outline)

    def surface(u, v):
        d = math.sin((v - 0.5) * PI)
        size = max(1 - abs(d) ** power, 0) ** (1 / power)
        x, z = centre + size * (outline[round(u * n) % n] - centre)
        return x, d * depth / 2, z

    return grid(name, surface, n, 29, material, closed_u=True)


def painted(name, points, colours, closed=True, **bsdf):
    """A surface of points (rows, columns, 3) coloured at every point."""
    points, colours = np.asarray(points, float), np.asarray(colours, float)
    rows, columns = points.shape[:2]
    node = N("paint")
    colour = node.add("VertexColor", {"layer_name": "paint"}).outputs[0]
    material = node.bsdf(Base_Color=colour, **bsdf)
    down, across = np.arange(rows - 1), np.arange(columns if closed else columns - 1)
    k, j = (axis.ravel() for axis in np.meshgrid(down * columns, across))
    j2 = (j + 1) % columns
    faces = np.c_[k + j, k + j2, k + columns + j2, k + columns + j]
    part = mesh(name, points.reshape(-1, 3), faces, material, smooth=180)
    layer = part.data.color_attributes.new("paint", "FLOAT_COLOR", "POINT")
    rgba = np.c_[colours.reshape(-1, 3), np.ones(rows * columns)]
    layer.data.foreach_set("color", rgba.astype(np.float32).ravel())
    return part


def blend(a, b, weight):
    """Mix colours; ``weight`` is an array, 0 gives a and 1 gives b."""
    weight = np.clip(np.asarray(weight, float), 0, 1)[..., None]
    return np.asarray(a) * (1 - weight) + np.asarray(b) * weight
