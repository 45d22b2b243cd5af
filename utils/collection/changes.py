"""What to do when files have changed: compare a collection with its pictures.

Nothing is changed here: `utils.collection.search` carries out what this finds.
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from utils import images
from utils.collection.catalogue import Catalogue, Item, real_path, spell
from utils.errors import PictureError
from utils.images import Refusal


class Changes(NamedTuple):
    """What a change to a collection did: lists of paths, and refusals with reasons.

    A picture that can no longer be used is in `removed` and in `refused`.
    """

    added: list[Path]
    changed: list[Path]
    removed: list[Path]
    unchanged: list[Path]
    refused: list[Refusal]

    def __repr__(self) -> str:
        counts = zip(self._fields, map(len, self), strict=True)
        return ", ".join(f"{count} {name}" for name, count in counts)


def once_each(
    paths: Iterable[str | os.PathLike], labels: Iterable[Any], root: Path
) -> dict[Path, Any]:
    """Drop second names for one file, such as links and other spellings.

    Parameters
    ----------
    paths : iterable of path
    labels : iterable
        One a path.
    root : Path
        The collection's folder.

    Returns
    -------
    labels : dict of Path to label
        Keys are paths as `catalogue.spell` writes them, in the order given.
    """
    folders: dict[str, str] = {}
    found: dict[Any, tuple[Path, Any]] = {}
    for path, label in zip(paths, labels, strict=True):
        key = _hard_link(path) or real_path(path, folders)
        found.setdefault(key, (spell(path, root), label))
    return dict(found.values())


def finder(catalogue: Catalogue) -> Callable[[Path], int | None]:
    """Return a function from a path to the id of the picture, by any of its names.

    Unlike `Catalogue.find` it looks at the disk, and so knows hard links.
    """

    @functools.cache  # made once, if at all: most collections never need it
    def linked() -> dict[tuple[int, int] | None, int]:
        return {_hard_link(item.path): key for key, item in catalogue.items.items()}

    def find(path: Path) -> int | None:
        key = catalogue.find(path)
        link = _hard_link(path) if key is None else None
        return linked().get(link) if link else key

    return find


def _hard_link(path: str | os.PathLike) -> tuple[int, int] | None:
    """Return what the names of one file have in common, if it has several."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    # Some network drives number all their files 0.
    several = status.st_nlink > 1 and status.st_ino
    return (status.st_dev, status.st_ino) if several else None


class Plan(NamedTuple):
    """What is to be done about some files.

    `labels` has the pictures to embed and the label asked for, or None; `outdated`
    the old ids of those among them that are known.
    """

    labels: dict[Path, str | None]
    outdated: dict[Path, int]
    relabelled: dict[int, Item]
    unchanged: list[Path]
    refused: list[Refusal]


def plan_changes(wanted: Mapping[Path, str | None], catalogue: Catalogue) -> Plan:
    """Find out what must be embedded so that a collection has the wanted pictures.

    Parameters
    ----------
    wanted : mapping of Path to label or None
        None keeps the label of a known picture.
    catalogue : Catalogue

    Returns
    -------
    plan : Plan
    """
    plan, find = Plan({}, {}, {}, [], []), finder(catalogue)
    for path, label in wanted.items():
        key = find(path)
        if key is None:
            plan.labels[path] = label
            continue
        item = catalogue.items[key]
        state, reason = compare(item)
        if state == "changed":
            plan.labels[item.path], plan.outdated[item.path] = label, key
        elif state != "same":
            plan.refused.append(Refusal(path, reason))
        elif label in (None, item.label):
            plan.unchanged.append(item.path)
        else:
            plan.relabelled[key] = item._replace(label=label)
    return plan


def compare(item: Item) -> tuple[str, str]:
    """Compare a file with what was embedded.

    Returns
    -------
    state : {"same", "changed", "missing", "unreadable"}
        Unreadable: nobody can tell whether it has changed.
    reason : str
        The same in words.
    """
    try:
        if images.sha256_of(item.path) == item.sha256:
            return "same", ""
        return "changed", "has changed since it was indexed"
    except PictureError as error:
        cause = error.__cause__
        if isinstance(cause, FileNotFoundError):
            return "missing", error.reason
        state = "unreadable" if isinstance(cause, OSError) else "changed"
        return state, error.reason
