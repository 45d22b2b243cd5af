"""All the classes of the gallery: label -> how to build it and whence to see it."""

import bpy  # noqa: F401  (mathutils exists only once it is loaded)

from . import (
    books,
    furniture,
    growing,
    guitars,
    household,
    picked,
    shoes,
    tableware,
    toys,
    worn,
)

MODULES = (
    furniture,
    growing,
    guitars,
    household,
    books,
    picked,
    shoes,
    tableware,
    toys,
    worn,
)
CLASSES: dict[str, dict] = {}
for _module in MODULES:
    CLASSES |= _module.CLASSES
CLASSES = dict(sorted(CLASSES.items()))
