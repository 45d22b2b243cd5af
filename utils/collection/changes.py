"""What to do when files have changed: compare a collection with its pictures.

Nothing is changed here: `utils.collection.search` carries out what this finds.
"""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils import images
from utils.collection.catalogue import Catalogue, Item, absolute, real_path, spell
from utils.errors import PictureError, printable
from utils.images import Collection, Refusal


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
        return ", ".join(f"{len(getattr(self, name))} {name}" for name in self._fields)


class Plan(NamedTuple):
    """What is to be done about some files."""

    labels: dict[Path, str]  # of the pictures to embed
    outdated: dict[Path, int]  # the old ids of those among them that are known
    relabelled: dict[int, Item]
    unchanged: list[Path]
    refused: list[Refusal]


def once_each(
    paths: Sequence[str | os.PathLike], labels: Iterable[str] | str, root: Path
) -> dict[Path, str]:
    """Return each file's label, without second names such as links.

    `labels` are one for each path, ValueError if not, or one for all.  Paths are
    spelled as a collection in `root` spells them (`catalogue.spell`), in the order
    given; a file with several names keeps its first name and label.
    """
    labels = [labels] * len(paths) if isinstance(labels, str) else list(labels)
    if len(labels) != len(paths):
        raise ValueError(
            f"expected {len(paths)} labels, one for each path. Received: {len(labels)}."
        )
    folders: dict[str, str] = {}
    found: dict[Any, tuple[Path, str]] = {}
    for given, label in zip(paths, labels, strict=True):
        if not isinstance(label, str):  # it would be saved, and not load again
            raise ValueError(
                f"{printable(str(given))}: expected a label of type str. Received: "
                f"{label!r}. Convert it: str(label)."
            )
        path = absolute(given)
        file = _hard_link(path) or real_path(path, folders)
        found.setdefault(file, (spell(path, root, folders), label))
    return dict(found.values())


def finder(catalogue: Catalogue) -> Callable[[Path], int | None]:
    """Return a function from a path to the id of the picture, by any of its names.

    Unlike `Catalogue.find` it looks at the disk, and so knows hard links.
    """

    @functools.cache  # made once, if at all: most collections never need it
    def linked() -> dict[tuple[int, int] | None, int]:
        return {_hard_link(item.path): id for id, item in catalogue.items.items()}

    def find(path: Path) -> int | None:
        id = catalogue.find(path)
        link = _hard_link(path) if id is None else None
        return linked().get(link) if link else id

    return find


def plan_changes(wanted: Mapping[Path, str | None], catalogue: Catalogue) -> Plan:
    """Find out what must be embedded so that a collection has the wanted pictures.

    `wanted` is what `once_each` returned.  With the label None a known picture keeps
    its own, and a new one gets its folder's.
    """
    plan, find = Plan({}, {}, {}, [], []), finder(catalogue)
    for path, label in wanted.items():
        id = find(path)
        if id is None:
            plan.labels[path] = catalogue.folder_label(path) if label is None else label
            continue
        item = catalogue.items[id]
        state, reason = compare(item)
        if state == "changed":
            plan.labels[item.path] = item.label if label is None else label
            plan.outdated[item.path] = id
        elif state != "same":
            plan.refused.append(Refusal(path, reason))
        elif label in (None, item.label):
            plan.unchanged.append(item.path)
        else:
            plan.relabelled[id] = item._replace(label=str(label))
    return plan


def plan_update(
    found: Collection, folder: str | os.PathLike, catalogue: Catalogue
) -> tuple[dict[Path, str | None], list[int]]:
    """Return what a scan of a folder wants (see `plan_changes`), and what has gone.

    These are ids of pictures that were in the folder.  ValueError if all would go.
    """
    find, known = finder(catalogue), set(catalogue.below(folder))
    if known and not len(found):
        raise ValueError(
            f"{printable(str(folder))}: expected pictures, found none, which "
            f"would remove {len(known)} from the collection. Is it the right "
            "folder, and its disk mounted? To empty a collection use remove."
        )
    known -= {find(path) for path in found.paths}
    for path, _ in found.refused:  # the scan cannot say that these are gone
        if os.path.isdir(path):  # a folder that cannot be listed
            known -= set(catalogue.below(path))
        id = catalogue.find(path)
        if id is not None and compare(catalogue.items[id])[0] in ("same", "unreadable"):
            known.discard(id)
    wanted: dict[Path, str | None] = {}
    for path, label in once_each(found.paths, found.labels, catalogue.root).items():
        # In the root labels count from the root, as they always did.
        counted = catalogue.root in path.parents or find(path) is not None
        wanted[path] = None if counted else label
    return wanted, sorted(known)


def compare(item: Item) -> tuple[str, str]:
    """Say whether a file is what was embedded, and why not.

    It is "same", "changed", "missing", or, if nobody can tell, "unreadable".
    """
    try:
        if images.sha256_of(item.path) == item.sha256:
            return "same", ""
        return "changed", "has changed since it was indexed"
    except PictureError as error:
        match error.__cause__:
            case FileNotFoundError():
                return "missing", error.reason
            case OSError():
                return "unreadable", error.reason
        return "changed", error.reason


def _hard_link(path: str | os.PathLike) -> tuple[int, int] | None:
    """Return what the names of one file have in common, if it has several."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    # Some network drives number all their files 0.
    several = status.st_nlink > 1 and status.st_ino
    return (status.st_dev, status.st_ino) if several else None
