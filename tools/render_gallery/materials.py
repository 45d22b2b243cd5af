"""Procedural materials, all on Blender's Principled BSDF.

Patterns are computed in the object's own coordinates, in metres; colours are linear
RGB.
"""

import bpy

from .colours import hsv


class N:
    """A material's node graph in few words.

    ``n.add("TexNoise", Scale=5)`` adds a node; sockets are linked, values set. ``_`` in
    a name stands for a space, ``i0`` for the first input.
    """

    def __init__(self, name="m"):
        self.mat = bpy.data.materials.new(name)
        self.mat.use_nodes = True
        self.t = self.mat.node_tree
        self.p = self.t.nodes["Principled BSDF"]

    def add(self, kind, props=None, **inp):
        """A new node of a kind, with properties and inputs."""
        nd = self.t.nodes.new("ShaderNode" + kind)
        for k, v in (props or {}).items():
            setattr(nd, k, v)
        for k, v in inp.items():
            self.set(nd, k, v)
        return nd

    def set(self, nd, key, v):
        """Link a socket to an input, or set its value."""
        if isinstance(key, str) and key[0] == "i" and key[1:].isdigit():
            s = nd.inputs[int(key[1:])]
        else:
            s = nd.inputs[key.replace("_", " ")]
        if isinstance(v, bpy.types.NodeSocket):
            self.t.links.new(v, s)
        else:
            if (
                hasattr(s.default_value, "__len__")
                and len(s.default_value) == 4
                and len(v) == 3
            ):
                v = (*v, 1)
            s.default_value = v

    def bsdf(self, **inp):
        """Set the inputs of the Principled BSDF; the finished material."""
        for k, v in inp.items():
            self.set(self.p, k, v)
        return self.mat

    # building blocks
    def coord(self, scale=(1, 1, 1), kind="Object", rot=(0, 0, 0), loc=(0, 0, 0)):
        """Coordinates, scaled, turned and moved."""
        c = self.add("TexCoord")
        return self.add(
            "Mapping", Vector=c.outputs[kind], Scale=scale, Rotation=rot, Location=loc
        ).outputs[0]

    def noise(self, vec, scale=5, detail=4, rough=0.5, dist=0):
        """Fractal noise, 0-1."""
        return self.add(
            "TexNoise",
            Vector=vec,
            Scale=scale,
            Detail=detail,
            Roughness=rough,
            Distortion=dist,
        ).outputs[0]

    def mix(self, fac, a, b):
        """From colour ``a`` (0) to colour ``b`` (1)."""
        nd = self.add("Mix", {"data_type": "RGBA"})
        self.set(nd, "i0", fac)
        for i, v in ((6, a), (7, b)):
            self.set(nd, f"i{i}", v)
        return nd.outputs[2]

    def ramp(self, fac, stops, interp="LINEAR"):
        """Colours at positions along 0-1."""
        nd = self.add("ValToRGB", Fac=fac)
        r = nd.color_ramp
        r.interpolation = interp
        while len(r.elements) < len(stops):
            r.elements.new(0.5)
        for e, (p, c) in zip(r.elements, stops, strict=False):
            e.position = p
            e.color = (*c, 1) if len(c) == 3 else c
        return nd.outputs[0]

    def math(self, op, a, b=0.0, c=0.0):
        """Arithmetic on one to three values."""
        return self.add("Math", {"operation": op}, i0=a, i1=b, i2=c).outputs[0]

    def xyz(self, vec):
        """The three components of a vector."""
        return self.add("SeparateXYZ", Vector=vec).outputs

    def bump(self, h, strength=0.3, dist=0.001):
        """A normal disturbed by a height."""
        return self.add("Bump", Height=h, Strength=strength, Distance=dist).outputs[0]


def any_color(r, s=(0.35, 0.9), v=(0.35, 0.9)):
    """A colour of any hue."""
    return hsv(r.random(), r.uniform(*s), r.uniform(*v))


def neutral(r, v=(0.08, 0.9)):
    """White, grey or black with a touch of warmth."""
    return hsv(r.uniform(0.05, 0.14), r.uniform(0.02, 0.15), r.uniform(*v))


def plastic(col, rough=0.35, coat=0.0):
    """Smooth plastic or paint."""
    return N("plastic").bsdf(Base_Color=col, Roughness=rough, Coat_Weight=coat)


def ceramic(col, rough=0.15, r=None, speckle=False):
    """Glazed ceramic, perhaps speckled."""
    n = N("ceramic")
    c = col
    if speckle:
        k = n.noise(n.coord(), 900, 2, 0.5)
        c = n.mix(
            n.ramp(k, [(0.60, (0, 0, 0)), (0.66, (1, 1, 1))]),
            col,
            tuple(x * 0.25 for x in col),
        )
    b = n.bump(n.noise(n.coord(), 25, 2), 0.04, 0.002)
    return n.bsdf(
        Base_Color=c, Roughness=rough, Coat_Weight=0.5, Coat_Roughness=0.05, Normal=b
    )


def banded(base, cols, edges, rough=0.2, coat=0.4, axis=2, wobble=0.0):
    """Colour bands along an axis (metres)."""
    n = N("banded")
    v = n.coord()
    z = n.xyz(v)[axis]
    if wobble:
        z = n.math(
            "ADD",
            z,
            n.math("MULTIPLY", n.math("SUBTRACT", n.noise(v, 40, 3), 0.5), wobble),
        )
    c = base
    for e0, e1, col in [(e[0], e[1], k) for e, k in zip(edges, cols, strict=False)]:
        f = n.math(
            "MULTIPLY", n.math("GREATER_THAN", z, e0), n.math("LESS_THAN", z, e1)
        )
        c = n.mix(f, c, col)
    return n.bsdf(Base_Color=c, Roughness=rough, Coat_Weight=coat)


def dots(base, col, scale, size=0.3, rough=0.2):
    """Round dots of one colour on another."""
    n = N("dots")
    v = n.add(
        "TexVoronoi", {"feature": "F1"}, Vector=n.coord(), Scale=scale, Randomness=0.35
    )
    f = n.math("LESS_THAN", v.outputs["Distance"], size)
    return n.bsdf(Base_Color=n.mix(f, base, col), Roughness=rough, Coat_Weight=0.4)


def glass(col=(1, 1, 1), rough=0.0, ior=1.45):
    """Clear or tinted glass."""
    return N("glass").bsdf(
        Base_Color=col, Roughness=rough, Transmission_Weight=1.0, IOR=ior
    )


def metal(col, rough=0.25, brushed=True):
    """Metal, perhaps brushed."""
    n = N("metal")
    k = n.noise(n.coord((1, 1, 30)), 60, 3)
    rr = n.math(
        "ADD",
        n.math("MULTIPLY", n.math("SUBTRACT", k, 0.5), 0.25 if brushed else 0.05),
        rough,
    )
    return n.bsdf(Base_Color=col, Metallic=1.0, Roughness=rr)


METALS = {
    "steel": (0.62, 0.62, 0.64),
    "brass": (0.78, 0.53, 0.20),
    "copper": (0.85, 0.45, 0.30),
    "gold": (0.95, 0.68, 0.28),
    "iron": (0.06, 0.06, 0.065),
}

WOODS = [
    ((0.36, 0.20, 0.09), (0.20, 0.095, 0.04)),
    ((0.58, 0.38, 0.20), (0.42, 0.25, 0.11)),
    ((0.11, 0.05, 0.025), (0.05, 0.022, 0.012)),
    ((0.72, 0.55, 0.34), (0.60, 0.42, 0.23)),
    ((0.30, 0.12, 0.06), (0.16, 0.055, 0.03)),
    ((0.45, 0.40, 0.35), (0.30, 0.26, 0.22)),
]
WOOD_WORDS = ["brown", "light brown", "dark brown", "pale", "reddish brown", "grey"]


def wood(pair, scale=1.0, axis=2, rough=0.4, coat=0.0, seed=0.0):
    """Grain along `axis`; scale 1 = furniture (metres)."""
    a, b = pair
    n = N("wood")
    s = [14 * scale] * 3
    s[axis] = 1.1 * scale
    v = n.coord(tuple(s), loc=(seed, seed * 2, seed * 3))
    w = n.noise(v, 3.0, 5, 0.55, 1.2)
    rings = n.math("FRACT", n.math("MULTIPLY", w, 7.0))
    c = n.mix(
        n.ramp(rings, [(0, (0, 0, 0)), (0.6, (1, 1, 1)), (1, (0.2, 0.2, 0.2))]), a, b
    )
    s2 = [260 * scale] * 3
    s2[axis] = 5 * scale
    fine = n.noise(n.coord(tuple(s2)), 1.0, 3)
    c = n.mix(n.math("MULTIPLY", fine, 0.45), c, tuple(x * 0.45 for x in b))
    return n.bsdf(
        Base_Color=c,
        Roughness=n.math("ADD", n.math("MULTIPLY", fine, 0.2), rough - 0.1),
        Coat_Weight=coat,
        Normal=n.bump(fine, 0.12, 0.0006),
    )


def fabric(col, scale=500, rough=0.9, bump=0.5, var=0.25):
    """Woven cloth."""
    n = N("fabric")
    v = n.coord()
    a = n.add(
        "TexWave", {"bands_direction": "X"}, Vector=v, Scale=scale, Distortion=1.0
    ).outputs[1]
    b = n.add(
        "TexWave", {"bands_direction": "Z"}, Vector=v, Scale=scale, Distortion=1.0
    ).outputs[1]
    h = n.math("ADD", a, b)
    c = n.mix(
        n.math("MULTIPLY", n.noise(v, 12, 4), var), col, tuple(x * 0.5 for x in col)
    )
    return n.bsdf(
        Base_Color=c, Roughness=rough, Sheen_Weight=0.3, Normal=n.bump(h, bump, 0.0006)
    )


def leather(col, scale=220, rough=0.45):
    """Leather with a fine grain."""
    n = N("leather")
    v = n.coord()
    k = n.add(
        "TexVoronoi", {"feature": "DISTANCE_TO_EDGE"}, Vector=v, Scale=scale
    ).outputs[0]
    c = n.mix(
        n.math("MULTIPLY", n.noise(v, 20, 4), 0.3), col, tuple(x * 0.6 for x in col)
    )
    return n.bsdf(
        Base_Color=c,
        Roughness=rough,
        Normal=n.bump(n.math("MINIMUM", k, 0.1), 0.25, 0.0008),
    )
