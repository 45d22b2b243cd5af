"""Lists of the finished gallery: metadata.csv and the contact sheet."""

import csv
import hashlib
import io
from pathlib import Path

from PIL import Image, ImageDraw

from .plan import (
    COLUMNS,
    INSTANCES,
    SCENES,
    VIEWS,
    caption,
    picture_path,
    shot,
    split_of,
)


def row(out, label, instance, view, *, ranges, description):
    """The metadata of one picture, from the plan that it was rendered by."""
    plan = shot(instance, view, *ranges)
    scene = SCENES[plan.scene]
    path = picture_path(label, instance, view)
    values = (
        path,
        label,
        instance,
        view,
        split_of(instance, view),
        plan.scene,
        plan.yaw,
        plan.elevation,
        plan.light,
        scene.ground,
        hashlib.sha256(Path(out, path).read_bytes()).hexdigest(),
        caption(description, scene.ground_words),
    )
    return dict(zip(COLUMNS, values, strict=True))


def write_metadata(out, objects):
    """Write ``metadata.csv`` for objects of (label, instance, ranges, description)."""
    rows = [
        row(out, label, instance, view, ranges=ranges, description=description)
        for label, instance, ranges, description in objects
        for view in range(VIEWS)
    ]
    with open(Path(out, "metadata.csv"), "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def contact_sheet(out, labels, *, cell=88, instances=INSTANCES, across=2):
    """One picture of each instance: a strip for each class, ``across`` side by side.

    Instance i is shown in view i (mod 6), so that every kind of view is there.
    """
    margin, gap = 14, 8
    down = -(-len(labels) // across)
    width, height = cell * instances + gap, cell + margin
    sheet = Image.new("RGB", (width * across - gap, height * down), "white")
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(labels):
        left, top = number // down * width, number % down * height
        draw.text((left + 3, top + 1), label, fill="black")
        for instance in range(instances):
            path = Path(out, picture_path(label, instance, instance % VIEWS))
            if path.exists():
                small = Image.open(path).resize((cell, cell), Image.Resampling.LANCZOS)
                sheet.paste(small, (left + instance * cell, top + margin))
    return sheet


def sheet_bytes(sheet, limit=600_000):
    """The sheet as a JPEG of the best quality that stays within ``limit`` bytes."""
    for quality in range(90, 30, -5):
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit:
            break
    return buffer.getvalue()
