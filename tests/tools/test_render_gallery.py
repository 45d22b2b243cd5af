"""The gallery's plan keeps its promises, and the pictures keep to the plan."""

import csv
import hashlib
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from tools.render_gallery.__main__ import numbers, part
from tools.render_gallery.catalogue import contact_sheet, write_metadata
from tools.render_gallery.colours import colour_word, hsv, spread_hue
from tools.render_gallery.plan import (
    COLUMNS,
    INSTANCES,
    LIGHTS,
    SCENES,
    VIEWS,
    caption,
    contrast,
    picture_path,
    scenes_of,
    shot,
    split_of,
)

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "images"
MAX_BYTES = 16_000_000
ALL_ROUND, NARROW = ((-180, 180), (10, 45)), ((-60, 45), (2, 28))
every_instance = pytest.mark.parametrize("instance", range(INSTANCES))


@pytest.fixture(scope="module")
def rows():
    with open(IMAGES / "metadata.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def apart(one, other):
    """Degrees between two directions."""
    return abs((one - other + 180) % 360 - 180)


# ----------------------------------------------------------------------- the plan
@every_instance
@pytest.mark.parametrize("view", range(VIEWS))
def test_scene_and_light_are_the_same_for_every_class(instance, view):
    one, other = (shot(instance, view, *ranges) for ranges in (ALL_ROUND, NARROW))
    assert (one.scene, one.light, one.exposure) == (
        other.scene,
        other.light,
        other.exposure,
    )


@every_instance
def test_views_0_and_1_differ_only_in_the_camera_s_angle(instance):
    one, other = (shot(instance, view, *NARROW) for view in (0, 1))
    assert one._replace(yaw=0, elevation=0) == other._replace(yaw=0, elevation=0)
    assert 35 <= apart(one.yaw, other.yaw) <= 60.1
    assert one.elevation != other.elevation


@every_instance
def test_views_2_and_3_differ_only_in_light(instance):
    one, other = (shot(instance, view, *NARROW) for view in (2, 3))
    assert one._replace(light="") == other._replace(light="")
    assert contrast(one.light, other.light) >= 2


@every_instance
def test_views_4_and_5_differ_in_everything(instance):
    one, other = (shot(instance, view, *NARROW) for view in (4, 5))
    a, b = SCENES[one.scene], SCENES[other.scene]
    assert a.ground != b.ground and a.background != b.background
    assert one.light != other.light
    assert apart(one.yaw, other.yaw) > 10
    assert abs(one.elevation - other.elevation) > 2


def test_each_scene_serves_each_purpose_about_equally_often():
    dealt = [scenes_of(instance) for instance in range(INSTANCES)]
    assert all(len(set(scenes)) == 4 for scenes in dealt)
    uses = Counter(itertools.chain(*dealt))
    assert set(uses) == set(SCENES)
    assert max(uses.values()) - min(uses.values()) <= 1


@pytest.mark.parametrize("ranges", [ALL_ROUND, NARROW, ((-25, 20), (38, 72))])
def test_angles_stay_within_what_suits_the_class(ranges):
    (left, right), (low, high) = ranges
    for instance, view in itertools.product(range(INSTANCES), range(VIEWS)):
        plan = shot(instance, view, *ranges)
        assert low <= plan.elevation <= high
        assert right - left == 360 or left <= plan.yaw <= right


def test_every_light_has_one_that_contrasts_with_it():
    for one in LIGHTS:
        assert contrast(one, one) == 0
        assert max(contrast(one, other) for other in LIGHTS) >= 2


def test_no_two_scenes_share_ground_background_or_light():
    for field in ("ground", "ground_words", "background", "light"):
        values = [getattr(scene, field) for scene in SCENES.values()]
        assert len(set(values)) == len(SCENES) == 12, field


def test_the_last_instance_is_unseen_and_view_5_is_the_query():
    splits = Counter(
        split_of(instance, view)
        for instance, view in itertools.product(range(INSTANCES), range(VIEWS))
    )
    assert splits == {"gallery": 35, "query": 7, "unseen": 6}
    assert {split_of(7, view) for view in range(VIEWS)} == {"unseen"}
    assert split_of(6, 5) == "query" and split_of(6, 4) == "gallery"


def test_the_plan_needs_no_blender():
    program = (
        "import sys; sys.modules['bpy'] = None; "
        "import tools.render_gallery.plan, tools.render_gallery.catalogue"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


# ------------------------------------------------------------- words and command line
@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("red mug with a white band", "a red mug with a white band on sand"),
        ("orange ball", "an orange ball on sand"),
        ("lamp with a orange shade", "a lamp with an orange shade on sand"),
    ],
)
def test_captions_have_their_articles_right(description, sentence):
    assert caption(description, "sand") == sentence


@pytest.mark.parametrize(
    ("colour", "word"),
    [
        ((0.0, 0.85, 0.8), "red"),
        ((0.07, 0.9, 0.95), "orange"),
        ((0.07, 0.7, 0.45), "brown"),
        ((0.07, 0.6, 0.58), "light brown"),
        ((0.15, 0.85, 0.9), "yellow"),
        ((0.33, 0.7, 0.6), "green"),
        ((0.33, 0.7, 0.3), "dark green"),
        ((0.62, 0.8, 0.7), "blue"),
        ((0.9, 0.6, 0.9), "pink"),
        ((0.1, 0.05, 0.92), "white"),
        ((0.1, 0.05, 0.5), "grey"),
        ((0.6, 0.3, 0.08), "black"),
    ],
)
def test_colours_have_everyday_names(colour, word):
    assert colour_word(hsv(*colour)) == word


def test_instances_of_a_class_never_share_a_hue():
    hues = [spread_hue(instance, 0.3) for instance in range(INSTANCES)]
    for one, other in itertools.combinations(hues, 2):
        assert min(abs(one - other), 1 - abs(one - other)) > 0.08


def test_numbers_and_parts_are_read_from_the_command_line():
    assert numbers("0,2-4") == [0, 2, 3, 4]
    assert part("2/3") == (2, 3)


# ------------------------------------------------------------------------ the lists
def test_metadata_and_sheet_of_a_small_gallery(tmp_path):
    for view in range(VIEWS):
        path = tmp_path / picture_path("mug", 0, view)
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (40 * view, 0, 0)).save(path)

    assert write_metadata(tmp_path, [("mug", 0, NARROW, "red mug")]) == VIEWS

    with open(tmp_path / "metadata.csv", newline="", encoding="utf-8") as file:
        first, *others = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert first["file"] == "mug/mug_0_0.jpg" and first["split"] == "gallery"
    assert others[-1]["split"] == "query"
    assert first["caption"] == "a red mug on wooden boards"
    assert len({row["sha256"] for row in [first, *others]}) == VIEWS

    sheet = contact_sheet(tmp_path, ["mug", "pear"], cell=10, instances=2)
    assert sheet.size == (48, 24)
    assert sheet.getpixel((5, 19))[0] < 20  # the mug's instance 0 in view 0
    assert sheet.getpixel((15, 19)) == (255, 255, 255)  # its instance 1 is missing


def test_the_stored_gallery_is_whole_and_as_listed(rows):
    labels = {row["label"] for row in rows}
    assert len(labels) >= 24
    assert len(rows) == len(labels) * INSTANCES * VIEWS
    listed = {row["file"]: row["sha256"] for row in rows}
    stored = {path.relative_to(IMAGES).as_posix() for path in IMAGES.glob("*/*.jpg")}
    assert stored == set(listed)
    sizes = 0
    for name, digest in listed.items():
        data = (IMAGES / name).read_bytes()
        sizes += len(data)
        assert hashlib.sha256(data).hexdigest() == digest, name
        with Image.open(IMAGES / name) as picture:
            assert (picture.format, picture.size) == ("JPEG", (256, 256)), name
    assert sizes <= MAX_BYTES


def test_the_stored_backgrounds_do_not_tell_the_class(rows):
    seen = {}
    for row in rows:
        place = (row["scene"], row["ground"], row["light"], row["split"])
        assert seen.setdefault((row["instance"], row["view"]), place) == place, row
    assert len(seen) == INSTANCES * VIEWS


def test_no_two_instances_of_a_class_have_the_same_caption(rows):
    things = {(row["label"], row["instance"]): row["caption"] for row in rows[::6]}
    whats = [(label, text.rsplit(" on ", 1)[0]) for (label, _), text in things.items()]
    repeated = [what for what, count in Counter(whats).items() if count > 1]
    assert not repeated
