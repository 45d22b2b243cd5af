"""For unit tests and notebooks alike: the bundled weights, whatever the shell says."""

import os
from importlib.util import find_spec
from pathlib import Path

os.environ["LOOKALIKE_WEIGHTS"] = "bundled"
os.environ["TQDM_DISABLE"] = "1"  # a bar would be compared with what is stored

# Doctests are collected by importing. These are not modules to import: a program that
# a notebook's first cell runs, and makers' programs whose libraries are seldom here.
collect_ignore = ["utils/start.py"]
collect_ignore_glob = ["tests/*conftest.py"]  # of one name: no two can be imported so
if find_spec("torch") is None:
    collect_ignore.append("tools/train_resnet50.py")
if find_spec("bpy") is None:
    plain = {"catalogue", "colours", "plan"}
    gallery = Path(__file__).parent / "tools" / "render_gallery"
    collect_ignore += [str(p) for p in gallery.glob("*.py") if p.stem not in plain]
