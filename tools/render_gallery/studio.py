"""The subject, the camera and the render: from a plan's Shot to pixels."""

import math
import random

import bpy
import numpy as np
from mathutils import Vector

from .plan import SCENES, shot
from .scenes import build_scene

FILL = 0.84  # how much of the frame's longer side the object takes


def clear(keep=()):
    """Delete everything but the objects in ``keep``, their data and the HDRIs."""
    gone = [o for o in bpy.data.objects if o not in keep]
    bpy.data.batch_remove(gone + list(bpy.data.worlds))
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)


def reset():
    """An empty file with the settings that hold for every picture."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


class Subject:
    """One object of one class: built once, rendered from all its views."""

    def __init__(self, label, instance, spec):
        self.label, self.instance = label, instance
        self.ranges = spec.get("yaw", (-180, 180)), spec.get("elev", (10, 45))
        reset()
        facts = spec["build"](random.Random(f"{label}/{instance}"), instance)
        self.description = (facts or {}).get("description", label)
        self.parts = list(bpy.data.objects)
        self.root = bpy.data.objects.new("root", None)
        bpy.context.scene.collection.objects.link(self.root)
        for part in self.parts:
            if part.parent is None:
                part.parent = self.root

    def shot(self, view):
        """The plan of one view, within the class's sensible angles."""
        return shot(self.instance, view, *self.ranges)

    def arrange(self, view):
        """Turn the object and put scene and camera round it."""
        plan = self.shot(view)
        clear([self.root, *self.parts])
        self.root.rotation_euler = (0, 0, math.radians(plan.object_yaw))
        bpy.context.view_layer.update()
        cloud = points(self.parts)
        extent = cloud.max(0) - cloud.min(0)
        radius = float(np.linalg.norm(extent)) / 2 / 1.25
        self.root.location.z -= float(cloud[:, 2].min())
        bpy.context.view_layer.update()
        build_scene(plan.scene, plan.light, radius)
        orbit = plan.object_yaw - plan.yaw
        camera(points(self.parts), radius, orbit, plan.elevation, SCENES[plan.scene])
        bpy.context.scene.view_settings.exposure = plan.exposure


def points(objects):
    """The world coordinates of all vertices, float array of shape (n, 3)."""
    graph = bpy.context.evaluated_depsgraph_get()
    clouds = []
    for item in objects:
        if item.type not in ("MESH", "CURVE"):
            continue
        evaluated = item.evaluated_get(graph)
        mesh = evaluated.to_mesh()
        if mesh is None:
            continue
        flat = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", flat)
        matrix = np.array(evaluated.matrix_world)
        clouds.append(flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
        evaluated.to_mesh_clear()
    return np.concatenate(clouds)


def camera(cloud, radius, orbit, elevation, scene):
    """A camera that looks at the cloud's middle and takes all of it in."""
    a, e = math.radians(orbit), math.radians(elevation)
    away = np.array(
        [math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)]
    )
    right = np.array([math.cos(a), math.sin(a), 0.0])
    up = np.cross(away, right)
    target, distance, depth = _frame(cloud, away, right, up, 18 / scene.lens * FILL)
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width = scene.lens, 36
    data.clip_start, data.clip_end = radius * 0.05, radius * 1000
    data.dof.use_dof = True
    data.dof.focus_distance = distance - depth
    data.dof.aperture_fstop = scene.fstop * 0.12 / radius
    holder = bpy.data.objects.new("camera", data)
    bpy.context.scene.collection.objects.link(holder)
    bpy.context.scene.camera = holder
    holder.location = target + away * distance
    holder.rotation_euler = Vector(-away).to_track_quat("-Z", "Y").to_euler()


def _frame(cloud, away, right, up, tangent):
    """Where to look and from how far, so that the cloud just fills the frame."""
    target = (cloud.min(0) + cloud.max(0)) / 2
    offset = cloud - target
    x, y, z = offset @ right, offset @ up, offset @ away

    def needed():
        return max((np.abs(x) / tangent + z).max(), (np.abs(y) / tangent + z).max())

    distance = needed()
    for _ in range(4):  # perspective moves the middle of the outline: follow it
        seen_x, seen_y = x / (distance - z), y / (distance - z)
        shift_x = (seen_x.max() + seen_x.min()) / 2 * distance
        shift_y = (seen_y.max() + seen_y.min()) / 2 * distance
        x, y = x - shift_x, y - shift_y
        target = target + right * shift_x + up * shift_y
        distance = needed()
    return target, float(distance), float(np.percentile(z, 60))


def settings(pixels, samples, threads=0):
    """Cycles on the CPU: few samples, cleaned by Open Image Denoise."""
    scene = bpy.context.scene
    render, cycles, view = scene.render, scene.cycles, scene.view_settings
    render.engine = "CYCLES"
    cycles.device = "CPU"
    cycles.samples, cycles.seed = samples, 0
    cycles.use_adaptive_sampling = True
    cycles.adaptive_threshold, cycles.adaptive_min_samples = 0.05, 6
    cycles.use_light_tree = False  # there are one or two lamps
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
    cycles.denoising_prefilter = "FAST"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 8, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 8, 6
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.blur_glossy, cycles.sample_clamp_indirect = 0.5, 6
    render.use_persistent_data = False  # else a picture depends on the one before
    render.resolution_x = render.resolution_y = pixels
    render.resolution_percentage = 100
    if threads:
        render.threads_mode, render.threads = "FIXED", threads
    view.view_transform, view.look = "AgX", "AgX - Medium High Contrast"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.image_settings.compression = 0
