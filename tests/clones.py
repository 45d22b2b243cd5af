"""A repository of links: a notebook that runs in it writes nothing into ours."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def link_repository(folder: Path) -> Path:
    """Link what a notebook needs into a folder, beside an empty `notebooks`."""
    for name in ("utils", "tools", "images", "texts", "models", "service"):
        os.symlink(ROOT / name, folder / name, target_is_directory=True)
    (folder / "notebooks").mkdir()
    return folder
