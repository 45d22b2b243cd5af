r"""A folder of your own pictures: its path as it was pasted, and what is in it.

>>> clean_path("  'file:///media/card/My%20Photos'  ").as_posix()
'/media/card/My Photos'
"""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from utils.errors import expanded, printable
from utils.images import Collection, PicturePath, scan_folder

QUOTES = ('""', "''", "``", "“”", "‘’", "«»")
DRIVE = re.compile(r"/?([A-Za-z]):[\\/]")  # how a path of Windows begins


def clean_path(pasted: PicturePath) -> Path:
    r"""Return the path that somebody means who typed, pasted or dragged it.

    Takes away spaces and quotes around it, ``file://`` with its ``%20``, and the
    backslashes that a terminal puts before spaces; fills in ``~`` and ``$HOME``. Where
    Windows isn't, ``C:\Users`` becomes ``/mnt/c/Users``, its place in Windows' own
    Linux. A path that exists as it is written stays as it is.
    """
    text = os.fsdecode(pasted)
    if not isinstance(pasted, str) or os.path.lexists(text):
        return Path(expanded(text))
    text = text.strip()
    while len(text) > 1 and text[0] + text[-1] in QUOTES:
        text = text[1:-1].strip()
    if text.lower().startswith("file:/"):
        text = unquote(re.sub(r"(?i)^file:(//(localhost)?(?=/))?", "", text))
    text = expanded(os.path.expandvars(text))
    drive = DRIVE.match(text)
    if os.name == "nt":
        return Path(text.lstrip("/") if drive else text)
    if drive:
        text = f"/mnt/{drive[1].lower()}/{text[drive.end() :]}"
    elif not os.path.lexists(text):
        text = re.sub(r"\\(\W)", r"\1", text)  # My\ Photos, from a terminal
    return Path(text if os.path.lexists(text) else text.replace("\\", "/"))


def find_photos(folder: PicturePath, *, level: int = 1) -> Collection:
    """Find the pictures in a folder, labelled by one of the folders they lie in.

    `folder` may be as it was pasted. `level` says whose name becomes the label: 1 is
    the first folder below it, 2 the second, −1 the innermost. A picture without such a
    folder gets "", for unknown. FileNotFoundError or NotADirectoryError if there is no
    such folder; ValueError if no picture in it can be read, or `level` is 0.
    """
    if level == 0 or not os.fspath(folder).strip():
        raise ValueError(
            "expected the path of a folder, and a level from 1 or from -1 backward. "
            f"Received: {folder!r} and level {level}."
        )
    root = clean_path(folder)
    if not root.exists():
        near = next((str(p) for p in root.parents if p.exists() and p.name), "")
        hint = f"{near} exists. " if near else ""
        if DRIVE.match(str(folder)) and os.name != "nt":
            hint = "It is a path of Windows, and this notebook does not run there. "
        raise FileNotFoundError(
            f"no such folder: {printable(str(root))}. {printable(hint)}Write it in "
            "full, or from ~ on, and run this cell again."
        )
    found = scan_folder(root)
    if not found.paths:
        why = "".join(f" {path.name}: {why}." for path, why in found.refused[:3])
        raise ValueError(
            f"{printable(str(root))}: expected pictures that can be read. Received "
            f"{len(found.refused)} that can't.{printable(why)} Choose another folder."
        )
    place = level - 1 if level > 0 else level
    for i, path in enumerate(found.paths):
        names = path.relative_to(root).parts[:-1]
        found.labels[i] = names[place] if -len(names) <= place < len(names) else ""
    return found
