"""Apples, cacti and, though nobody grows them, donuts.

Sizes are in metres, the front is -y, the ground z = 0. A build function takes a seeded
``random.Random`` and the instance's number; what it returns goes into the caption.
"""

import math

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .finishes import bspline, glaze, pick
from .materials import WOODS, N, ceramic, hsv, plastic, wood
from .mesh import grid, instance, lathe, tube

pi = math.pi


def apple(r, i):
    """An apple with a stem, every second one with a leaf."""
    R = r.uniform(0.034, 0.042)
    f = r.uniform(0.85, 1.05)
    ph = r.uniform(0, 6)
    prof = bspline(
        [
            (0.0, 0.40),
            (0.12, 0.42),
            (0.30, 0.80),
            (0.62, 0.98),
            (0.98, 0.72),
            (1.0, 0.1),
            (0.86, -0.45),
            (0.5, -0.86),
            (0.24, -0.90),
            (0.10, -0.74),
            (0, -0.70),
        ],
        10,
    )

    def surf(u, v):
        k = v * (len(prof) - 1)
        a = int(min(k, len(prof) - 2))
        p = prof[a] * (1 - k + a) + prof[a + 1] * (k - a)
        t = u * 2 * pi
        w = (
            1
            + 0.035 * math.cos(5 * t + ph) * max(0, -p[1])
            + 0.02 * math.cos(2 * t + ph)
        )
        return (
            R * p[0] * w * math.cos(t),
            R * p[0] * w * math.sin(t),
            R * f * (p[1] + 0.9),
        )

    c0, c1, words = pick(
        [
            (hsv(0, 0.85, 0.7), hsv(0.11, 0.6, 0.9), "red apple with yellow streaks"),
            (hsv(0.24, 0.7, 0.72), hsv(0.2, 0.5, 0.85), "green apple"),
            (hsv(0.14, 0.6, 0.92), hsv(0.02, 0.7, 0.85), "yellow and red apple"),
            (hsv(0.98, 0.9, 0.5), hsv(0.02, 0.8, 0.7), "dark red apple"),
            (hsv(0.15, 0.65, 0.9), hsv(0.19, 0.6, 0.85), "yellow apple"),
            (hsv(0.27, 0.75, 0.5), hsv(0.0, 0.75, 0.6), "green apple with red streaks"),
            (hsv(0.96, 0.6, 0.85), hsv(0.06, 0.5, 0.92), "pink apple"),
            (hsv(0.08, 0.6, 0.6), hsv(0.13, 0.6, 0.75), "russet brown apple"),
        ],
        i,
    )
    n = N("skin")
    x, y, z = n.xyz(n.coord())
    ang = n.math("ARCTAN2", y, x)
    v = n.add(
        "CombineXYZ",
        i0=n.math("MULTIPLY", ang, 9.0),
        i1=n.math("MULTIPLY", z, 25.0),
        i2=0.0,
    ).outputs[0]
    st = n.noise(v, 1.6, 5, 0.6)
    big = n.noise(n.coord(), 18, 2)
    c = n.mix(
        n.ramp(
            n.math("ADD", n.math("MULTIPLY", st, 0.6), n.math("MULTIPLY", big, 0.4)),
            [(0.45, (0, 0, 0)), (0.66, (1, 1, 1))],
        ),
        c0,
        c1,
    )
    sp = n.add("TexVoronoi", Vector=n.coord(), Scale=260.0).outputs[0]
    c = n.mix(
        n.math("MULTIPLY", n.math("LESS_THAN", sp, 0.16), 0.5), c, hsv(0.13, 0.3, 0.95)
    )
    m = n.bsdf(
        Base_Color=c,
        Roughness=0.28,
        Coat_Weight=0.3,
        Subsurface_Weight=0.05,
        Subsurface_Radius=(0.004, 0.002, 0.001),
    )
    grid("apple", surf, 80, 60, m, closed_u=True)
    z = R * f * 1.34
    a = r.uniform(0, 6.28)
    tube(
        "stem",
        [
            (0, 0, z - R * 0.1),
            (R * 0.04 * math.cos(a), R * 0.04 * math.sin(a), z + R * 0.3),
            (R * 0.16 * math.cos(a), R * 0.16 * math.sin(a), z + R * 0.62),
        ],
        [R * 0.045, R * 0.035, R * 0.06],
        wood(WOODS[0], 8),
    )
    if i % 2:
        words += " with a leaf"
        L = R * r.uniform(0.7, 1.0)
        ca, sa = math.cos(a + 2), math.sin(a + 2)

        def leaf(u, v):
            w = L * 0.26 * math.sin(pi * v**0.8) * (u - 0.5) * 2
            h = z + R * 0.25 + L * (0.55 * v - 0.45 * v * v) + abs(u - 0.5) * L * 0.12
            return (ca * L * v - sa * w, sa * L * v + ca * w, h)

        grid("leaf", leaf, 9, 16, plastic(hsv(0.27, 0.7, 0.4), 0.45), thickness=0.0004)
    return {"description": words}


def cactus(r, i):
    """A ribbed cactus (or three) with spines, in a pot."""
    pr = r.uniform(0.045, 0.06)
    ph_ = pr * r.uniform(1.4, 1.8)
    if i % 5 == 1:
        pm, pot = ceramic(hsv(0.04, 0.6, 0.7), 0.8), "terracotta pot"
    else:
        pm, pot = glaze(r, ph_, i, 0.85)
        pot = pot.format("pot")
    lathe(
        "pot",
        [
            (0, 0),
            (pr * 0.68, 0),
            (pr * 0.7, 0.002),
            (pr * 0.93, ph_ * 0.78),
            (pr * 1.04, ph_ * 0.79),
            (pr * 1.06, ph_),
            (pr * 0.94, ph_),
            (pr * 0.92, ph_ * 0.85),
            (0, ph_ * 0.85),
        ],
        pm,
        64,
    )
    n = N("soil")
    k = n.noise(n.coord(), 500, 4)
    lathe(
        "soil",
        [(0, ph_ * 0.9), (pr * 0.93, ph_ * 0.88)],
        n.bsdf(
            Base_Color=n.mix(k, (0.02, 0.012, 0.006), (0.2, 0.13, 0.08)),
            Roughness=1,
            Normal=n.bump(k, 1, 0.004),
        ),
        48,
    )
    g = hsv(r.uniform(0.25, 0.38), r.uniform(0.4, 0.7), r.uniform(0.3, 0.55))
    n = N("flesh")
    m = n.bsdf(
        Base_Color=n.mix(n.noise(n.coord(), 60, 3), g, tuple(x * 0.6 for x in g)),
        Roughness=0.45,
        Subsurface_Weight=0.08,
        Subsurface_Radius=(0.003, 0.004, 0.001),
    )
    spm = plastic(
        r.choice([(0.8, 0.75, 0.55), (0.55, 0.3, 0.12), (0.9, 0.88, 0.8)]), 0.5
    )
    kind = pick(["arms", "ball", "column", "cluster"], i)
    ribs = r.choice([9, 11, 13, 16])
    proto = tube(
        "sp0", [(0, 0, 0), (0, 0, 1)], [0.035, 0.004], spm, smooth_path=False, res=1
    )

    def body(base, up, Rr, Hh):
        """Ribbed capsule from base along up."""
        M = (
            Matrix.Translation(base)
            @ Vector(up).to_track_quat("Z", "Y").to_matrix().to_4x4()
        )
        tall = Hh >= Rr * 2.5

        def f(u, v):
            if tall:
                z = v * Hh
                beyond = min(max((z - (Hh - Rr)) / Rr, 0.0), 1.0)
                radius = (1 - beyond**2) ** 0.5 * (0.85 + 0.15 * min(1, v * 4))
            else:
                z = Hh * (0.5 - 0.5 * math.cos(v * pi))
                radius = math.sin(v * pi)
            rib = 1 + 0.09 * math.cos(ribs * u * 2 * pi)
            radius = Rr * radius * rib + 1e-5
            a = u * 2 * pi
            return M @ Vector((radius * math.cos(a), radius * math.sin(a), z))

        grid("c", f, ribs * 8, 48, m, closed_u=True)
        nz = max(5, int(Hh / 0.011))
        for a in range(ribs):
            for b in range(1, nz):
                v = b / nz
                P = f(a / ribs, v)
                N_ = (
                    P
                    - M
                    @ Vector(
                        (
                            0,
                            0,
                            (P - Vector(base)).length * 0.5
                            if Hh < Rr * 2.5
                            else v * Hh,
                        )
                    )
                ).normalized()
                for _ in range(3):
                    d = (
                        N_
                        + Vector((r.gauss(0, 0.45), r.gauss(0, 0.45), r.gauss(0, 0.45)))
                    ).normalized()
                    L = r.uniform(0.005, 0.010)
                    instance(
                        proto,
                        Matrix.Translation(P)
                        @ d.to_track_quat("Z", "Y").to_matrix().to_4x4()
                        @ Matrix.Diagonal((L, L, L, 1)),
                    )

    z = ph_ * 0.88
    if kind == "ball":
        R2 = pr * r.uniform(0.75, 1.0)
        body((0, 0, z - R2 * 0.15), (0, 0, 1), R2, R2 * 1.9)
    elif kind == "cluster":
        for k in range(3):
            a = k * 2.1 + r.random()
            R2 = pr * r.uniform(0.3, 0.42)
            body(
                (pr * 0.45 * math.cos(a), pr * 0.45 * math.sin(a), z),
                (0.25 * math.cos(a), 0.25 * math.sin(a), 1),
                R2,
                R2 * r.uniform(3, 5),
            )
    else:
        R2 = pr * r.uniform(0.42, 0.58)
        H2 = r.uniform(0.12, 0.2)
        body((0, 0, z), (0, 0, 1), R2, H2)
        if kind == "arms":
            for s in (1, -1):
                q = R2 * 0.5
                za = z + H2 * r.uniform(0.25, 0.45)
                x = R2 * 1.9
                tube(
                    "el",
                    [
                        (s * R2 * 0.8, 0, za),
                        (s * x * 0.8, 0, za + 0.003),
                        (s * x, 0, za + 0.02),
                    ],
                    q * 0.95,
                    m,
                )
                body((s * x, 0, za + 0.014), (0, 0, 1), q, H2 * r.uniform(0.3, 0.45))
    bpy.data.objects.remove(proto)
    shape = {
        "ball": "round cactus",
        "column": "tall cactus",
        "arms": "cactus with two arms",
        "cluster": "cluster of three cacti",
    }[kind]
    return {"description": f"{shape} in a {pot}"}


def donut(r, i):
    """A ring of dough with icing and, mostly, something strewn on it."""
    R, a = r.uniform(0.030, 0.034), r.uniform(0.0155, 0.0185)
    fl = r.uniform(0.78, 0.92)
    ph = [r.uniform(0, 6.28) for _ in range(6)]

    def wob(t, s=0.0011):
        return s * (
            math.sin(2 * t + ph[0])
            + 0.6 * math.sin(3 * t + ph[1])
            + 0.35 * math.sin(5 * t + ph[2])
        )

    def surf(u, v, off=0.0):
        t = u * 2 * pi
        p = v
        rr = a + off + wob(t)
        return (
            (R + rr * math.cos(p)) * math.cos(t),
            (R + rr * math.cos(p)) * math.sin(t),
            a * fl + fl * rr * math.sin(p) + (0),
        )

    n = N("dough")
    v = n.coord()
    z = n.xyz(v)[2]
    k = n.noise(v, 90, 5, 0.6)
    zz = n.math(
        "ADD",
        n.math("DIVIDE", z, 2 * a * fl),
        n.math("MULTIPLY", n.math("SUBTRACT", k, 0.5), 0.12),
    )
    c = n.ramp(
        zz,
        [
            (0, (0.34, 0.13, 0.035)),
            (0.36, (0.42, 0.18, 0.05)),
            (0.47, (0.78, 0.55, 0.28)),
            (0.56, (0.74, 0.48, 0.21)),
            (0.68, (0.42, 0.18, 0.05)),
            (1, (0.36, 0.15, 0.04)),
        ],
    )
    dough = n.bsdf(
        Base_Color=c,
        Roughness=0.62,
        Subsurface_Weight=0.15,
        Subsurface_Radius=(0.006, 0.003, 0.001),
        Normal=n.bump(n.noise(v, 420, 4, 0.6), 0.25, 0.0012),
    )
    grid("dough", lambda u, v: surf(u, v * 2 * pi), 96, 49, dough, closed_u=True)
    kind = pick(
        ["pink", "choc", "white", "blue", "caramel", "green", "yellow", "red"], i
    )
    col = {
        "pink": hsv(0.93, 0.45, 0.95),
        "choc": (0.045, 0.016, 0.006),
        "white": (0.9, 0.87, 0.82),
        "caramel": (0.45, 0.2, 0.06),
        "blue": hsv(0.55, 0.45, 0.9),
        "green": hsv(0.3, 0.45, 0.85),
        "yellow": hsv(0.14, 0.6, 0.95),
        "red": hsv(0.98, 0.75, 0.75),
    }[kind]
    ice = N("icing")
    icing = ice.bsdf(
        Base_Color=col,
        Roughness=r.uniform(0.12, 0.3),
        Coat_Weight=0.5,
        Subsurface_Weight=0.2 if kind != "choc" else 0,
        Subsurface_Radius=(0.004, 0.002, 0.001),
        Normal=ice.bump(ice.noise(ice.coord(), 70, 2), 0.15, 0.002),
    )

    def edge(t, side):  # angle at which the icing ends, wavy, with a few drips
        q = (
            0.12 * math.sin(5 * t + ph[3])
            + 0.1 * math.sin(9 * t + ph[4])
            + 0.06 * math.sin(14 * t + ph[5])
        )
        return (0.10 - q) if side > 0 else (pi - 0.10 + q * 0.8)

    def isurf(u, v):
        t = u * 2 * pi
        p0, p1 = edge(t, 1), edge(t, -1)
        p = p0 + (p1 - p0) * v
        th = 0.0021 * min(1, math.sin(min(max(v, 0), 1) * pi) * 4) ** 0.5 + 0.0002
        return surf(u, p, th - 0.0004)

    grid("icing", isurf, 144, 40, icing, closed_u=True)
    spr = pick(["rainbow", "stripes", "nuts", "mono", "none"], i)
    if spr in ("rainbow", "mono", "nuts"):
        proto = lathe(
            "spr",
            [
                (0, -0.0028),
                (0.0005, -0.0026),
                (0.00075, -0.0022),
                (0.00075, 0.0022),
                (0.0005, 0.0026),
                (0, 0.0028),
            ],
            plastic((1, 1, 1), 0.3),
            10,
        )
        cols = (
            [hsv(h, 0.75, 0.95) for h in (0, 0.08, 0.15, 0.35, 0.55, 0.8, 0.93)]
            + [(0.9, 0.9, 0.9)]
            if spr == "rainbow"
            else (
                [(0.9, 0.88, 0.85), col]
                if spr == "mono"
                else [(0.5, 0.28, 0.1), (0.6, 0.36, 0.16), (0.4, 0.2, 0.07)]
            )
        )
        mats = [plastic(c, 0.35) for c in cols]
        placed = []
        for _ in range(r.randint(70, 150)):
            t, p = r.uniform(0, 2 * pi), r.uniform(0.45, pi - 0.45)
            P = Vector(surf(t / 2 / pi, p, 0.0024))
            e = 1e-3
            du = Vector(surf((t + e) / 2 / pi, p, 0.0024)) - P
            dv = Vector(surf(t / 2 / pi, p + e, 0.0024)) - P
            nn = du.cross(dv).normalized()
            du.normalize()
            an = r.uniform(0, 2 * pi)
            tang = (du * math.cos(an) + nn.cross(du) * math.sin(an)).normalized()
            if any((P - q).length < 0.0028 for q in placed):
                continue
            placed.append(P)
            q = tang.to_track_quat("Z", "Y")
            s = r.uniform(0.75, 1.1) * (1.0 if spr != "nuts" else 0.9)
            M = (
                Matrix.Translation(P)
                @ q.to_matrix().to_4x4()
                @ Matrix.Diagonal(
                    (
                        s * (2.2 if spr == "nuts" else 1.1),
                        s * (1.6 if spr == "nuts" else 1.1),
                        s,
                        1,
                    )
                )
            )
            instance(proto, M, None).material_slots[0].link = "OBJECT"
            bpy.context.scene.collection.objects[-1].material_slots[
                0
            ].material = r.choice(mats)
        bpy.data.objects.remove(proto)
    elif spr == "stripes":
        c2 = (
            (0.9, 0.88, 0.84)
            if kind in ("choc", "caramel", "pink", "blue")
            else (0.05, 0.02, 0.01)
        )
        an = r.uniform(0, pi)
        N_ = 15
        for k in range(N_):
            x = (k / (N_ - 1) * 2 - 1) * (R + a * 0.75)
            row = []
            for s in np.linspace(-1, 1, 60):
                y = s * (R + a)
                rad = math.hypot(x, y)
                d = rad - R
                if abs(d) > a * 0.8:
                    row.append(None)
                    continue
                row.append(
                    (
                        x + 0.001 * math.sin(s * 9),
                        y,
                        a * fl
                        + fl * math.sqrt(a * a - d * d)
                        + 0.0026
                        + wob(math.atan2(y, x)) * 0.8,
                    )
                )
            seg = []
            for q in row + [None]:
                if q is None:
                    if len(seg) > 3:
                        tube("st", seg, 0.0009, plastic(c2, 0.25), res=3)
                    seg = []
                else:
                    seg.append(q)
    icing = {"choc": "chocolate"}.get(kind, kind) + " icing"
    extra = {
        "rainbow": " and coloured sprinkles",
        "mono": " and white sprinkles",
        "stripes": " and stripes",
        "nuts": " and nuts",
        "none": "",
    }[spr]
    return {"description": f"donut with {icing}{extra}"}


CLASSES = {
    "apple": dict(build=apple, elev=(8, 45)),
    "cactus": dict(build=cactus, elev=(8, 35)),
    "donut": dict(build=donut, elev=(32, 70)),
}
