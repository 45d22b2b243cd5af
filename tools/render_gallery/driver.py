"""Render pictures to files, safely and in an order that keeps the classes abreast."""

import contextlib
import io
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from .plan import INSTANCES, VIEWS, picture_path
from .registry import CLASSES
from .studio import Subject, settings

PIXELS, SAMPLES, QUALITY = 256, 10, 89


@contextlib.contextmanager
def quiet():
    """Send what Blender itself prints to nowhere."""
    sys.stdout.flush()
    keep, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(keep, 1)
        os.close(keep)
        os.close(null)


def render(subject, view, *, pixels=PIXELS, samples=SAMPLES, threads=0):
    """One view of a subject as a PIL image."""
    with quiet(), tempfile.TemporaryDirectory() as folder:
        subject.arrange(view)
        settings(pixels, samples, threads)
        path = os.path.join(folder, "picture.png")
        bpy.context.scene.render.filepath = path
        bpy.ops.render.render(write_still=True)
        return Image.open(path).convert("RGB")


def jpeg(image, quality=QUALITY):
    """The bytes of the picture as they are stored."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def write(path, data):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def render_gallery(
    out, labels, *, instances, views, part=(1, 1), quality=QUALITY, **render_options
):
    """Render what is missing below ``out``, instance by instance.

    ``part=(2, 3)`` does the second third of the objects, so that several processes can
    share the work.
    """
    jobs = [(instance, label) for instance in instances for label in labels]
    for instance, label in jobs[part[0] - 1 :: part[1]]:
        paths = {view: Path(out, picture_path(label, instance, view)) for view in views}
        missing = [view for view, path in paths.items() if not path.exists()]
        if not missing:
            continue
        start = time.time()
        subject = Subject(label, instance, CLASSES[label])
        for view in missing:
            write(paths[view], jpeg(render(subject, view, **render_options), quality))
        seconds = (time.time() - start) / len(missing)
        print(f"{label} {instance}: {seconds:.2f} s a picture", flush=True)


def check(out, count, *, seed=0, **render_options):
    """Render some pictures again; print and return the lowest PSNR in decibels."""
    names = [(c, i, v) for c in CLASSES for i in range(INSTANCES) for v in range(VIEWS)]
    stored = [n for n in names if Path(out, picture_path(*n)).exists()]
    lowest = float("inf")
    for label, instance, view in random.Random(seed).sample(stored, count):
        path = Path(out, picture_path(label, instance, view))
        subject = Subject(label, instance, CLASSES[label])
        again = Image.open(io.BytesIO(jpeg(render(subject, view, **render_options))))
        value = psnr(np.asarray(Image.open(path)), np.asarray(again))
        lowest = min(lowest, value)
        print(f"{path.name}: {value:.1f} dB", flush=True)
    return lowest


def psnr(one, other):
    """Peak signal-to-noise ratio of two uint8 pictures in decibels."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))
