"""Ground, background and light of the twelve scenes, scaled to the object.

Everything is built in units of the object's radius and scaled up, so a mug and a chair
stand on boards that look equally wide. The camera looks along +y at the origin.
"""

import math
import os

import bpy
import numpy as np
from mathutils import Vector

from .materials import N, hsv
from .mesh import grid
from .plan import LIGHTS, SCENES

HDRI_DIR = os.path.join(
    bpy.utils.resource_path("LOCAL"), "datafiles", "studiolights", "world"
)
KEY_DISTANCE = 8
_brightness: dict = {}


def build_scene(name, light, radius):
    """Put ground, background and light round an object of this radius at z = 0."""
    scene = SCENES[name]
    ground = GROUNDS[scene.ground](radius)
    sky = scene.background if scene.background in SKIES else None
    if scene.background == scene.ground:
        _sweep(ground, scene.wall, radius)
    else:
        _plane(ground, radius, 60 if sky else scene.wall)
        if not sky:
            _wall(WALLS[scene.background](radius), scene.wall, radius)
    _light(LIGHTS[light], radius, sky)


# --------------------------------------------------------------------- surfaces
def _plane(material, radius, depth):
    """The ground: wide and reaching ``depth`` radii behind the object."""
    ground = grid(
        "ground",
        lambda u, v: (120 * (u - 0.5), -60 + (60 + depth) * v, 0),
        2,
        2,
        material,
    )
    ground.scale = (radius,) * 3


def _wall(material, depth, radius):
    """A flat wall behind the object."""
    wall = grid("wall", lambda u, v: (120 * (u - 0.5), depth, 40 * v), 2, 2, material)
    wall.scale = (radius,) * 3


def _sweep(material, depth, radius):
    """Photographers' paper: ground that bends up into the background."""
    bend = 2.5

    def surface(u, v):
        x = 120 * (u - 0.5)
        if v < 0.4:
            return x, -60 + v / 0.4 * (60 + depth), 0
        if v < 0.7:
            angle = (v - 0.4) / 0.3 * math.pi / 2
            rise = bend * (1 - math.cos(angle))
            return x, depth + bend * math.sin(angle), rise
        return x, depth + bend, bend + (v - 0.7) / 0.3 * 40

    grid("paper", surface, 2, 60, material).scale = (radius,) * 3


def _scaled(colour, factor):
    return tuple(channel * factor for channel in colour)


def _spots(node, noise, low, high):
    """Noise pushed to black and white between two thresholds."""
    return node.ramp(noise, [(low, (0, 0, 0)), (high, (1, 1, 1))])


def boards(light, dark, width, radius, gloss=0.4):
    """Wooden boards running towards the background."""
    n = N("boards")
    v = n.coord(rot=(0, 0, math.pi / 2))
    brick = n.add(
        "TexBrick",
        Vector=v,
        Scale=1.0,
        Mortar_Size=width * 0.012,
        Bias=0.0,
        Brick_Width=width * 9,
        Row_Height=width,
    )
    for key, value in (("Color1", 0.1), ("Color2", 0.9), ("Mortar", 0.0)):
        n.set(brick, key, (value,) * 3)
    shade = brick.outputs["Color"]
    stretched = n.add("Mapping", Vector=v, Scale=(0.12, 1.6, 1)).outputs[0]
    moved = n.add(
        "VectorMath",
        {"operation": "ADD"},
        i0=stretched,
        i1=n.math("MULTIPLY", shade, 9.0),
    ).outputs[0]
    grain = n.noise(moved, 2.2 / width**0.5, 5, 0.55, 1.0)
    rings = n.math("FRACT", n.math("MULTIPLY", grain, 6.0))
    colour = n.mix(rings, light, dark)
    colour = n.mix(n.math("MULTIPLY", shade, 0.35), colour, _scaled(dark, 0.6))
    gap = n.math("MULTIPLY", brick.outputs["Fac"], 0.9)
    colour = n.mix(gap, colour, _scaled(dark, 0.1))
    height = n.math("SUBTRACT", grain, brick.outputs["Fac"])
    return n.bsdf(
        Base_Color=colour,
        Roughness=gloss,
        Normal=n.bump(height, 0.15, 0.01 * radius),
    )


def speckled(low, high, scale, radius, relief=0.05, patches=1.0, rough=0.9):
    """Grainy ground: two colours mixed by fine noise, darkened by large patches."""
    n = N("speckled")
    v = n.coord()
    fine = n.noise(v, scale, 5, 0.7)
    colour = n.mix(_spots(n, fine, 0.36, 0.64), low, high)
    patch = n.math("MULTIPLY", n.noise(v, patches, 4), 0.45)
    colour = n.mix(patch, colour, low)
    return n.bsdf(
        Base_Color=colour,
        Roughness=rough,
        Normal=n.bump(fine, 0.7, relief * radius),
    )


def tiles(colour, mortar, size, radius, turn=0.0, rough=0.2):
    """Square tiles; every second one a little darker."""
    n = N("tiles")
    v = n.coord(rot=(0, 0, turn))
    brick = n.add(
        "TexBrick",
        {"offset": 0.0},
        Vector=v,
        Scale=1.0,
        Mortar_Size=size * 0.025,
        Brick_Width=size,
        Row_Height=size,
        Mortar_Smooth=0.1,
    )
    n.set(brick, "Color1", colour)
    n.set(brick, "Color2", _scaled(colour, 0.75))
    n.set(brick, "Mortar", mortar)
    cloud = n.math("MULTIPLY", n.noise(v, 2.5, 5), 0.35)
    shaded = n.mix(cloud, brick.outputs["Color"], _scaled(colour, 0.5))
    height = n.math("SUBTRACT", 1.0, brick.outputs["Fac"])
    return n.bsdf(
        Base_Color=shaded,
        Roughness=n.math("ADD", n.math("MULTIPLY", brick.outputs["Fac"], 0.6), rough),
        Normal=n.bump(height, 0.5, size * 0.02 * radius),
    )


def marble(base, vein, radius):
    """Polished stone with veins."""
    n = N("marble")
    v = n.coord((0.7,) * 3, loc=(3, 1, 0))
    cloud = n.noise(v, 2, 10, 0.6, 1.5)
    distance = n.math("ABSOLUTE", n.math("SUBTRACT", cloud, 0.5))
    lines = n.ramp(distance, [(0, (1, 1, 1)), (0.022, (0, 0, 0))])
    colour = n.mix(n.noise(v, 3, 4), base, _scaled(base, 1.5))
    colour = n.mix(n.math("MULTIPLY", lines, 0.6), colour, vein)
    return n.bsdf(Base_Color=colour, Roughness=0.14)


def checked(one, other, width, radius):
    """A cloth with a gingham check, a little creased."""
    n = N("checked")
    v = n.coord(rot=(0, 0, 0.5))
    x, y, _ = n.xyz(v)
    half = [
        n.math("GREATER_THAN", n.math("FRACT", n.math("MULTIPLY", a, 0.5 / width)), 0.5)
        for a in (x, y)
    ]
    mixed = n.math("MULTIPLY", n.math("ADD", *half), 0.5)
    weave = n.noise(v, 150, 1)
    colour = n.mix(mixed, other, one)
    colour = n.mix(n.math("MULTIPLY", weave, 0.35), colour, _scaled(one, 0.4))
    fold = n.math("MULTIPLY", n.noise(v, 0.8, 2), 10.0)
    return n.bsdf(
        Base_Color=colour,
        Roughness=0.9,
        Sheen_Weight=0.2,
        Normal=n.bump(n.math("ADD", weave, fold), 0.3, 0.04 * radius),
    )


def plain(colour, rough=0.7):
    """Paint or paper: one colour, slightly cloudy."""
    n = N("plain")
    v = n.coord()
    cloud = n.math("MULTIPLY", n.noise(v, 0.6, 3), 0.25)
    return n.bsdf(
        Base_Color=n.mix(cloud, colour, _scaled(colour, 0.6)),
        Roughness=rough,
    )


def bricks(colour, mortar, radius):
    """A brick wall in the xz plane."""
    n = N("bricks")
    v = n.coord(rot=(math.pi / 2, 0, 0))
    brick = n.add(
        "TexBrick",
        Vector=v,
        Scale=1.0,
        Mortar_Size=0.035,
        Brick_Width=1.1,
        Row_Height=0.38,
    )
    n.set(brick, "Color1", colour)
    n.set(brick, "Color2", _scaled(colour, 0.55))
    n.set(brick, "Mortar", mortar)
    rough = n.noise(v, 12, 5, 0.7)
    stained = n.math("MULTIPLY", rough, 0.4)
    height = n.math("ADD", n.math("SUBTRACT", 1.0, brick.outputs["Fac"]), rough)
    return n.bsdf(
        Base_Color=n.mix(stained, brick.outputs["Color"], _scaled(colour, 0.4)),
        Roughness=0.9,
        Normal=n.bump(height, 0.6, 0.05 * radius),
    )


GROUNDS = {
    "walnut": lambda r: boards(
        hsv(0.06, 0.6, 0.42), hsv(0.05, 0.65, 0.27), 1.5, r, 0.35
    ),
    "oak": lambda r: boards(hsv(0.085, 0.5, 0.7), hsv(0.075, 0.55, 0.56), 0.55, r),
    "grass": lambda r: speckled(
        hsv(0.28, 0.75, 0.24), hsv(0.23, 0.6, 0.58), 16, r, 0.3
    ),
    "concrete": lambda r: speckled(
        hsv(0.09, 0.06, 0.42), hsv(0.09, 0.06, 0.58), 6, r, 0.01, 0.7, 0.75
    ),
    "blue-paper": lambda r: plain(hsv(0.6, 0.5, 0.62)),
    "terracotta": lambda r: tiles(
        hsv(0.035, 0.58, 0.66), hsv(0.09, 0.2, 0.5), 1.1, r, 0.4, 0.35
    ),
    "sand": lambda r: speckled(
        hsv(0.09, 0.45, 0.55), hsv(0.1, 0.4, 0.74), 25, r, 0.1, 0.5
    ),
    "marble": lambda r: marble(hsv(0.5, 0.25, 0.2), hsv(0.1, 0.12, 0.55), r),
    "gingham": lambda r: checked(hsv(0.99, 0.75, 0.62), hsv(0.07, 0.2, 0.8), 0.42, r),
    "asphalt": lambda r: speckled(
        hsv(0.6, 0.06, 0.22), hsv(0.6, 0.04, 0.46), 22, r, 0.12, 0.8
    ),
    "carpet": lambda r: speckled(
        hsv(0.77, 0.5, 0.42), hsv(0.78, 0.4, 0.68), 30, r, 0.15
    ),
    "green-tiles": lambda r: tiles(
        hsv(0.42, 0.5, 0.45), hsv(0.3, 0.1, 0.6), 0.8, r, 0.2
    ),
}

WALLS = {
    "teal-wall": lambda r: plain(hsv(0.5, 0.5, 0.55)),
    "blue-wall": lambda r: plain(hsv(0.6, 0.6, 0.62)),
    "brick-wall": lambda r: bricks(hsv(0.03, 0.6, 0.58), hsv(0.09, 0.1, 0.6), r),
    "sage-wall": lambda r: plain(hsv(0.28, 0.25, 0.6)),
    "ochre-wall": lambda r: plain(hsv(0.1, 0.65, 0.55)),
    "olive-wall": lambda r: plain(hsv(0.2, 0.4, 0.45)),
    "mustard-wall": lambda r: plain(hsv(0.125, 0.62, 0.66)),
    "rust-wall": lambda r: plain(hsv(0.035, 0.55, 0.55)),
}

SKIES = {"forest": 1.0, "sunset": 0.2, "city": 2.5}  # the turn of each, in radians


# ------------------------------------------------------------------------ light
def _light(light, radius, sky):
    """The world's picture and the key light of a rig."""
    _world(light, sky)
    direction = _direction(light.azimuth, light.height)
    if light.power and light.size:
        _area(direction * radius * KEY_DISTANCE, radius, light)
    elif light.power:
        _sun(direction, light)


def _direction(azimuth, height):
    """A unit vector; azimuth 0 points to the camera (-y), positive to its right."""
    a, h = math.radians(azimuth), math.radians(height)
    return Vector((math.sin(a) * math.cos(h), -math.cos(a) * math.cos(h), math.sin(h)))


def _add_light(data, location, direction):
    lamp = bpy.data.objects.new(data.name, data)
    bpy.context.scene.collection.objects.link(lamp)
    lamp.location = location
    lamp.rotation_euler = (-direction).to_track_quat("-Z", "Y").to_euler()
    lamp.visible_camera = False


def _area(location, radius, light):
    """A square lamp that shines as bright on an object of any size."""
    data = bpy.data.lights.new("key", "AREA")
    data.size = light.size * radius * KEY_DISTANCE / 5
    data.energy = light.power * (math.pi * KEY_DISTANCE * radius) ** 2
    data.color = hsv(*light.colour)
    _add_light(data, location, location)


def _sun(direction, light):
    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.angle = light.power, 0.03
    data.color = hsv(*light.colour)
    _add_light(data, (0, 0, 0), direction)


def _world(light, sky):
    """Light from one picture; where there is no wall the camera sees another.

    So a change of light leaves the background as it is.
    """
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    # By default Cycles tabulates the whole picture anew for each render: 1.5 s.
    world.cycles.sampling_method = "MANUAL"
    world.cycles.sample_map_resolution = 256
    tree = world.node_tree
    background = tree.nodes["Background"]
    _environment(tree, background, light.hdri, math.radians(light.turn), light.level)
    if not sky:
        return
    seen = tree.nodes.new("ShaderNodeBackground")
    _environment(tree, seen, sky, SKIES[sky], 0.8)
    path = tree.nodes.new("ShaderNodeLightPath")
    mix = tree.nodes.new("ShaderNodeMixShader")
    tree.links.new(path.outputs["Is Camera Ray"], mix.inputs[0])
    tree.links.new(background.outputs[0], mix.inputs[1])
    tree.links.new(seen.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], tree.nodes["World Output"].inputs[0])


def _environment(tree, background, name, turn, level):
    """Wrap a picture round a Background node, at a mean brightness of ``level``."""
    image, brightness = _hdri(name)
    texture = tree.nodes.new("ShaderNodeTexEnvironment")
    texture.image = image
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    mapping = tree.nodes.new("ShaderNodeMapping")
    mapping.inputs["Rotation"].default_value = (0, 0, turn)
    tree.links.new(coordinates.outputs["Generated"], mapping.inputs[0])
    tree.links.new(mapping.outputs[0], texture.inputs[0])
    tree.links.new(texture.outputs[0], background.inputs[0])
    background.inputs[1].default_value = level / brightness


def _hdri(name):
    """The picture and its mean luminance over the sphere."""
    path = os.path.join(HDRI_DIR, name + ".exr")
    image = bpy.data.images.load(path, check_existing=True)
    if name not in _brightness:
        pixels = np.empty(len(image.pixels), np.float32)
        image.pixels.foreach_get(pixels)
        width, height = image.size
        rgb = pixels.reshape(height, width, -1)[..., :3].clip(0, 20)
        luminance = rgb @ np.array([0.2126, 0.7152, 0.0722])
        rows = np.sin((np.arange(height) + 0.5) / height * math.pi)
        _brightness[name] = float(rows @ luminance.mean(axis=1) / rows.sum())
    return image, _brightness[name]
