"""Shapes: every function returns an object that is linked to the scene.

Sizes are in metres. ``mats`` is one material or a list.
"""

import math

import bmesh
import bpy
import numpy as np


def _link(ob):
    bpy.context.scene.collection.objects.link(ob)
    return ob


def mesh(name, verts, faces, mats=(), mat_idx=None, smooth=40, uvs=None):
    """A mesh of vertices and faces; edges sharper than ``smooth`` degrees stay."""
    me = bpy.data.meshes.new(name)
    me.from_pydata(
        [tuple(map(float, v)) for v in verts], [], [tuple(map(int, f)) for f in faces]
    )
    for m in mats if isinstance(mats, (list, tuple)) else [mats]:
        me.materials.append(m)
    if mat_idx is not None:
        me.polygons.foreach_set("material_index", np.asarray(mat_idx, dtype=np.int32))
    if uvs is not None:
        uv = me.uv_layers.new(name="UVMap")
        uv.data.foreach_set("uv", np.asarray(uvs, dtype=np.float32).ravel())
    me.update()
    bm = bmesh.new()
    bm.from_mesh(me)
    bmesh.ops.recalc_face_normals(bm, faces=bm.faces[:])
    bm.to_mesh(me)
    bm.free()
    if smooth:
        me.shade_smooth()
        if smooth < 180:
            me.set_sharp_from_angle(angle=math.radians(smooth))
    return _link(bpy.data.objects.new(name, me))


def spline(points, n=12, closed=False):
    """Catmull-Rom through points (any dimension); n samples per span."""
    p = np.asarray(points, float)
    m = len(p)
    out = []
    spans = m if closed else m - 1
    for i in range(spans):
        if closed:
            a, b, c, d = p[(i - 1) % m], p[i], p[(i + 1) % m], p[(i + 2) % m]
        else:
            a, b, c, d = p[max(i - 1, 0)], p[i], p[i + 1], p[min(i + 2, m - 1)]
        for t in np.arange(n) / n:
            out.append(
                0.5
                * (
                    2 * b
                    + (c - a) * t
                    + (2 * a - 5 * b + 4 * c - d) * t * t
                    + (3 * b - a - 3 * c + d) * t**3
                )
            )
    if not closed:
        out.append(p[-1])
    return np.array(out)


def lathe(name, profile, mats, n=64, mat_of=None, smooth=50):
    """Revolve (r, z) points about z.

    ``mat_of(k)`` gives the index of the material of the band after point k.
    """
    prof = np.asarray(profile, float)
    ang = np.arange(n) * 2 * math.pi / n
    verts: list = []
    rows: list = []
    for r, z in prof:
        if r < 1e-6:
            rows.append([len(verts)] * n)
            verts.append((0, 0, z))
        else:
            rows.append(list(range(len(verts), len(verts) + n)))
            verts += [(r * math.cos(a), r * math.sin(a), z) for a in ang]
    arc = np.r_[0, np.cumsum(np.linalg.norm(np.diff(prof, axis=0), axis=1))]
    arc /= arc[-1]
    faces, mi, uvs = [], [], []
    for k in range(len(prof) - 1):
        a, b = rows[k], rows[k + 1]
        for j in range(n):
            q = [
                (a[j], j, k),
                (a[(j + 1) % n], j + 1, k),
                (b[(j + 1) % n], j + 1, k + 1),
                (b[j], j, k + 1),
            ]
            f, seen = [], set()
            for v, ju, kk in q:
                if v not in seen:
                    seen.add(v)
                    f.append((v, ju / n, arc[kk]))
            if len(f) >= 3:
                faces.append([x[0] for x in f])
                uvs += [(x[1], x[2]) for x in f]
                mi.append(mat_of(k) if mat_of else 0)
    # recalc_face_normals may turn a face, so its corners' uvs are only nearly right
    return mesh(name, verts, faces, mats, mi, smooth, uvs)


def box(name, size, loc=(0, 0, 0), mat=None, bevel=0.0, rot=(0, 0, 0), seg=3):
    """A box round ``loc``, its edges bevelled."""
    sx, sy, sz = (s / 2 for s in size)
    v = [(x, y, z) for x in (-sx, sx) for y in (-sy, sy) for z in (-sz, sz)]
    f = [
        (0, 1, 3, 2),
        (4, 6, 7, 5),
        (0, 4, 5, 1),
        (2, 3, 7, 6),
        (0, 2, 6, 4),
        (1, 5, 7, 3),
    ]
    ob = mesh(name, v, f, mat, smooth=35)
    ob.location = loc
    ob.rotation_euler = rot
    if bevel:
        b = ob.modifiers.new("b", "BEVEL")
        b.width = bevel
        b.segments = seg
        b.harden_normals = True
    return ob


def tube(name, pts, radius, mat, closed=False, res=8, smooth_path=True, cap=True):
    """Tube along pts; radius scalar or per-point list."""
    cu = bpy.data.curves.new(name, "CURVE")
    cu.dimensions = "3D"
    p = np.asarray(pts, float)
    r = (
        np.full(len(p), radius, float)
        if np.isscalar(radius)
        else np.asarray(radius, float)
    )
    if smooth_path and len(p) > 2:
        q = spline(np.c_[p, r], 8, closed)
        p, r = q[:, :3], q[:, 3]
    sp = cu.splines.new("POLY")
    sp.points.add(len(p) - 1)
    for i, (a, b) in enumerate(zip(p, r, strict=False)):
        sp.points[i].co = (*a, 1)
        sp.points[i].radius = float(b)
    sp.use_cyclic_u = closed
    sp.use_smooth = True
    cu.bevel_depth = 1.0
    cu.bevel_resolution = res
    cu.use_fill_caps = cap and not closed
    cu.materials.append(mat)
    return _link(bpy.data.objects.new(name, cu))


def slab(name, outline, z0, z1, mats, bevel=0.0, smooth=35, idx=(0, 1, 0)):
    """Extrude a closed outline from z0 to z1.

    ``idx`` holds the indices of the materials of bottom, side and top.
    """
    o = np.asarray(outline, float)
    n = len(o)
    v = [(x, y, z0) for x, y in o] + [(x, y, z1) for x, y in o]
    f = [list(range(n))[::-1], list(range(n, 2 * n))]
    mi = [idx[0], idx[2]]
    for i in range(n):
        j = (i + 1) % n
        f.append([i, j, n + j, n + i])
        mi.append(idx[1])
    ob = mesh(name, v, f, mats, mi, smooth)
    if bevel:
        b = ob.modifiers.new("b", "BEVEL")
        b.width = bevel
        b.segments = 3
        b.limit_method = "ANGLE"
        b.angle_limit = math.radians(50)
        b.harden_normals = True
    return ob


def grid(
    name,
    fn,
    nu,
    nv,
    mats,
    closed_u=False,
    mat_fn=None,
    thickness=0,
    subsurf=0,
    smooth=180,
):
    """The surface fn(u, v) -> (x, y, z) over the unit square.

    ``closed_u`` joins the ends of u; ``mat_fn(u, v)`` gives a material's index.
    """
    us = np.arange(nu) / (nu if closed_u else nu - 1)
    vs = np.arange(nv) / (nv - 1)
    verts = [fn(u, v) for v in vs for u in us]
    faces, mi = [], []
    for k in range(nv - 1):
        for j in range(nu if closed_u else nu - 1):
            j2 = (j + 1) % nu
            faces.append((k * nu + j, k * nu + j2, (k + 1) * nu + j2, (k + 1) * nu + j))
            mi.append(mat_fn((j + 0.5) / nu, (k + 0.5) / (nv - 1)) if mat_fn else 0)
    ob = mesh(name, verts, faces, mats, mi, smooth)
    if thickness:
        m = ob.modifiers.new("t", "SOLIDIFY")
        m.thickness = thickness
        m.offset = -1
    if subsurf:
        m = ob.modifiers.new("s", "SUBSURF")
        m.levels = m.render_levels = subsurf
    return ob


def instance(src, matrix, mat=None):
    """A copy that shares the geometry, elsewhere, perhaps of other material."""
    ob = src.copy()
    if mat is not None:
        ob.data = src.data.copy()
        ob.data.materials.clear()
        ob.data.materials.append(mat)
    ob.matrix_world = matrix
    return _link(ob)
