"""What every picture shows: scene, light, angle and split, decided without Blender.

The background must not tell a mug from a chair, so nothing here depends on the class
but the range of angles it looks sensible from. The six views of an object are

* 0 and 1: one scene, one light, two camera angles;
* 2 and 3: one scene, one angle, two lights;
* 4 and 5: different in angle, light, ground and background.

Picture ``(instance, view)`` has the same scene and light in every class.
"""

import random
import re
from typing import NamedTuple

SEED = "lookalike"
INSTANCES = 8
VIEWS = 6
PAIRS = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 3}  # view -> which of its scenes it uses
COLUMNS = (
    *("file", "label", "instance", "view", "split", "scene"),
    *("yaw", "elevation", "light", "ground", "sha256", "caption"),
)


class Light(NamedTuple):
    """A light rig: a picture of the sky or a room all around, and one key light.

    Angles in degrees; azimuth 0 is behind the camera, positive to its right. The
    ``size`` of the key is relative to the object (0 is a sun); ``level`` and ``power``
    are what a white surface that faces them would reflect (for a sun, times pi).
    """

    words: str
    hdri: str
    turn: float
    level: float
    azimuth: float = 0.0
    height: float = 45.0
    size: float = 2.0
    power: float = 0.0
    colour: tuple = (0.1, 0.0, 1.0)
    side: int = 0  # where the light comes from: left -1, right 1, all round 0
    warmth: int = 0  # cool -1, neutral 0, warm 1


class Scene(NamedTuple):
    """A place: ground, background, its own light and the lens; all scaled to R."""

    ground: str
    ground_words: str
    background: str
    light: str
    lens: float
    fstop: float = 9.0
    wall: float = 5.0  # distance of the background, in radii of the object


class Shot(NamedTuple):
    """Everything a picture needs besides its object; angles in degrees."""

    scene: str
    light: str
    yaw: float
    elevation: float
    object_yaw: float
    exposure: float


COOL, WHITE, WARM, AMBER = (
    (0.58, 0.16, 1.0),
    (0.1, 0.03, 1.0),
    (0.09, 0.2, 1.0),
    (0.08, 0.36, 1.0),
)

LIGHTS = {
    "window-left": Light(
        "cool window light from the left", "courtyard", 180, 0.25,
        -75, 32, 2.6, 1.9, (0.58, 0.3, 1.0), -1, -1,
    ),
    "lamp-right": Light(
        "a warm lamp on the right", "interior", 200, 0.3,
        55, 45, 1.0, 0.95, AMBER, 1, 1,
    ),
    "sun-left": Light(
        "warm sunshine from the left", "sunrise", 120, 0.5,
        -60, 42, 0, 3.0, WARM, -1, 1,
    ),
    "overcast": Light(
        "an overcast sky", "courtyard", 0, 0.9,
        0, 80, 4.0, 0.2, COOL, 0, -1,
    ),
    "spot-left": Light(
        "a hard spotlight from the left", "studio", 90, 0.2,
        -50, 50, 0.5, 1.1, WHITE, -1, 0,
    ),
    "softbox-right": Light(
        "a cool soft light from the right", "studio", 250, 0.3,
        65, 38, 3.5, 1.0, COOL, 1, -1,
    ),
    "sunset-right": Light(
        "a low evening sun from the right", "sunset", 60, 0.45,
        65, 27, 0, 3.2, AMBER, 1, 1,
    ),
    "top": Light(
        "a soft light from above", "studio", 10, 0.25,
        0, 75, 3.0, 0.5, WHITE, 0, 0,
    ),
    "shade": Light(
        "the green shade of trees", "forest", 30, 0.65,
        -50, 55, 2.0, 0.3, (0.25, 0.12, 1.0), -1, 0,
    ),
    "noon-right": Light(
        "bright noon sun from the right", "city", 150, 0.5,
        45, 60, 0, 2.6, WHITE, 1, 0,
    ),
    "night-lamp": Light(
        "a warm lamp on the left at night", "night", 0, 0.2,
        -50, 42, 0.9, 1.0, AMBER, -1, 1,
    ),
    "ceiling": Light(
        "warm ceiling lights", "interior", 300, 0.7,
        0, 72, 2.0, 0.5, WARM, 0, 1,
    ),
}  # fmt: skip

SCENES = {
    "walnut": Scene(
        "walnut", "a dark wooden table", "teal-wall", "window-left", 60, wall=4
    ),
    "oak": Scene("oak", "wooden boards", "blue-wall", "lamp-right", 75),
    "lawn": Scene("grass", "green grass", "forest", "sun-left", 50, 6.0),
    "concrete": Scene("concrete", "grey concrete", "brick-wall", "overcast", 60),
    "blue-paper": Scene(
        "blue-paper", "blue paper", "blue-paper", "spot-left", 85, wall=3
    ),
    "terracotta": Scene(
        "terracotta", "terracotta tiles", "sage-wall", "softbox-right", 60
    ),
    "sand": Scene("sand", "sand", "sunset", "sunset-right", 50, 6.0),
    "marble": Scene("marble", "dark marble", "ochre-wall", "top", 75, wall=4),
    "gingham": Scene(
        "gingham", "a red checked cloth", "olive-wall", "shade", 75, 10.0, 4
    ),
    "asphalt": Scene("asphalt", "asphalt", "city", "noon-right", 50, 6.0),
    "carpet": Scene("carpet", "a purple carpet", "mustard-wall", "night-lamp", 60),
    "green-tiles": Scene(
        "green-tiles", "green tiles", "rust-wall", "ceiling", 60, wall=4
    ),
}


def split_of(instance, view):
    """``unseen`` for the last instance, else ``query`` for view 5, else ``gallery``."""
    if instance == INSTANCES - 1:
        return "unseen"
    return "query" if view == VIEWS - 1 else "gallery"


def scenes_of(instance):
    """The four scenes of an instance (views 0-1, 2-3, 4, 5), all different.

    Shuffled decks of all the scenes are dealt four at a time, so that over the
    instances each scene is used equally often.
    """
    deck, size = [], len(set(PAIRS.values()))
    for number in range(instance * size // len(SCENES) + 1):
        names = sorted(SCENES)
        random.Random(f"{SEED}/deck/{number}").shuffle(names)
        deck += names
    return deck[instance * size : instance * size + size]


def contrast(one, other):
    """How much two lights differ in side and warmth: 0 (alike in either) to 4."""
    one, other = LIGHTS[one], LIGHTS[other]
    sides, warmths = abs(one.side - other.side), abs(one.warmth - other.warmth)
    return sides + warmths if sides and warmths else 0


def light_of(instance, view):
    """The scene's own light, but for view 3: one most unlike that of view 2."""
    own = SCENES[scenes_of(instance)[PAIRS[view]]].light
    if view != 3:
        return own
    most = max(contrast(own, name) for name in LIGHTS)
    others = [name for name in sorted(LIGHTS) if contrast(own, name) == most]
    return random.Random(f"{SEED}/light/{instance}").choice(others)


def angles_of(instance, view, yaw=(-180, 180), elevation=(10, 45)):
    """Yaw, elevation and the object's own turn, in degrees.

    ``yaw`` and ``elevation`` are the class's sensible ranges; where in them a view
    lies is the same for every class. In views 0 and 1 the object stays put and the
    camera walks round it by 35-60 degrees.
    """
    rng = random.Random(f"{SEED}/angle/{instance}/{PAIRS[view]}")
    part, rise, step = rng.random(), rng.random(), rng.uniform(35, 60)
    width, span = yaw[1] - yaw[0], elevation[1] - elevation[0]
    step, low = min(step, width), elevation[0]
    if view < 2:
        middle = yaw[0] + step / 2 + (width - step) * part
        turn = step / 2 if view else -step / 2
        rise = rise * 0.35 + (0.65 if view == rng.choice((0, 1)) else 0)
        return middle + turn, low + span * rise, middle
    if view > 3:  # the two lie in different halves of both ranges
        high = random.Random(f"{SEED}/halves/{instance}").choice((4, 5))
        part = part * 0.4 + (0.6 if view == high else 0)
        rise = rise * 0.4 + (0.6 if view != high else 0)
    angle = yaw[0] + width * part
    return angle, low + span * rise, angle


def shot(instance, view, yaw=(-180, 180), elevation=(10, 45)):
    """The whole plan of one picture of a class with these ranges of angles."""
    scene = scenes_of(instance)[PAIRS[view]]
    angle, rise, object_yaw = angles_of(instance, view, yaw, elevation)
    rng = random.Random(f"{SEED}/exposure/{instance}/{PAIRS[view]}")
    return Shot(
        scene,
        light_of(instance, view),
        round((angle + 180) % 360 - 180, 1),
        round(rise, 1),
        object_yaw,
        rng.uniform(-0.15, 0.15),
    )


def caption(description, ground_words):
    """A sentence without a full stop: what the picture shows, and on what.

    >>> caption("olive cactus in a orange pot", "grey concrete")
    'an olive cactus in an orange pot on grey concrete'
    """
    words = f"a {description} on {ground_words}"
    return re.sub(r"\ba (?=[aeiou])", "an ", words)


def picture_path(label, instance, view):
    """Where a picture lies below ``images/``."""
    return f"{label}/{label}_{instance}_{view}.jpg"
