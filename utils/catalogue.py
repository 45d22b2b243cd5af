"""What an id means: the path, label and content of each picture of a collection.

A leaf without pictures: it handles names only and opens no file.  Names that come
from a saved collection are data: none that leads out of the picture root is let in.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

from utils.errors import IndexFileError, printable

MEND = "Build the collection again and save it."


class Item(NamedTuple):
    """A picture of a collection; `sha256` is that of the bytes that were embedded."""

    path: Path
    label: str
    sha256: str


class Catalogue:
    """An unchanging table from ids to pictures; `changed` makes the next one.

    Two names for one file, through links or ``..``, are one picture.

    Parameters
    ----------
    items : mapping of int to Item
        Paths are absolute.
    root : path
        A folder that holds all of them.

    Attributes
    ----------
    items : mapping of int to Item
        In the order of the ids; cannot be written to.
    root : Path
    """

    def __init__(self, items: Mapping[int, Item], root: str | os.PathLike) -> None:
        folders: dict[str, str] = {}
        ordered = {key: items[key] for key in sorted(items)}
        self.root = Path(os.path.abspath(root))
        self.items: Mapping[int, Item] = MappingProxyType(ordered)
        self._ids = {real_path(item.path, folders): i for i, item in ordered.items()}

    def __len__(self) -> int:
        return len(self.items)

    def find(self, path: str | os.PathLike) -> int | None:
        """Return the id of a picture, or None if it is not in the collection."""
        return self._ids.get(real_path(path, {}))

    def below(self, folder: str | os.PathLike) -> list[int]:
        """Return the ids of the pictures in a folder and the folders below it."""
        parents = {os.path.abspath(folder), os.path.realpath(folder)}
        return [
            key
            for key, item in self.items.items()
            if not parents.isdisjoint(map(str, item.path.parents))
        ]

    def changed(self, remove: Iterable[int], add: Mapping[int, Item]) -> "Catalogue":
        """Return a catalogue without some items and with others.

        Parameters
        ----------
        remove : iterable of int
            Known ids.
        add : mapping of int to Item
            A known id gets the new item.

        Returns
        -------
        catalogue : Catalogue
            Its root is wider than this one's if a new picture lies outside it.
        """
        gone, folders = set(remove), {}
        items = {k: v for k, v in self.items.items() if k not in gone} | dict(add)
        following = Catalogue({}, common_folder(self.root, add.values()))
        following.items = MappingProxyType({k: items[k] for k in sorted(items)})
        following._ids = {k: v for k, v in self._ids.items() if v not in gone}
        for key, item in add.items():
            following._ids[real_path(item.path, folders)] = key
        return following

    def dump(self, header: Mapping[str, Any]) -> bytes:
        """Return the table as JSON; paths are relative to the root, which is named."""
        rows = [
            [key, item.path.relative_to(self.root).as_posix(), item.label, item.sha256]
            for key, item in self.items.items()
        ]
        table = {**header, "root": str(self.root), "items": rows}
        # ASCII with escapes: holds names that are not valid UTF-8, too
        return json.dumps(table).encode("ascii")

    @classmethod
    def parse(
        cls, content: bytes, name: str, *, root: str | os.PathLike | None = None
    ) -> tuple["Catalogue", dict[str, Any]]:
        """Read what `dump` wrote.

        Parameters
        ----------
        content : bytes
        name : str
            The file's, for errors.
        root : path, optional
            Where the pictures are now.  Default: where they were.

        Returns
        -------
        catalogue : Catalogue
        header : dict

        Raises
        ------
        IndexFileError
            If it is another kind of table, or a path in it leads out of the root.
        """
        try:
            header = json.loads(content)
            rows = header.pop("items")
            stored = header.pop("root")
            if not isinstance(rows, list) or "\0" in stored:
                raise ValueError("a value of another kind")
            base = Path(os.path.abspath(stored if root is None else root))
            items = dict(_parse_row(row, base) for row in rows)
            if list(items) != sorted(items) or len(items) != len(rows):
                raise ValueError("ids out of order")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise IndexFileError(
                f"{printable(name)}: expected the table of pictures that "
                f"ImageSearch.save writes. Received another one "
                f"({type(e).__name__}: {printable(str(e))}). {MEND}"
            ) from e
        return cls(items, base), header

    def outside(self) -> list[int]:
        """Return the ids of pictures that a link takes out of the root."""
        inside = os.path.join(os.path.realpath(self.root), "")
        folders: dict[str, str] = {}
        reals = {key: real_path(i.path, folders) for key, i in self.items.items()}
        return [key for key, real in reals.items() if not real.startswith(inside)]


def common_folder(root: Path | None, items: Iterable[Item]) -> Path:
    """Return the smallest folder that holds the root and all items.

    Raises
    ------
    ValueError
        If there is none, as with two drives of Windows.
    """
    folders = {str(item.path.parent) for item in items}
    if root is not None:
        folders.add(str(root))
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise ValueError(
            "expected pictures that lie in one folder, however deep. Received: "
            f"{printable(', '.join(sorted(folders)[:3]))} ({error})."
        ) from error


def real_path(path: str | os.PathLike, folders: dict[str, str]) -> str:
    """Return the one true name of a file; `folders` remembers those of its folders."""
    whole = os.path.abspath(path)
    if os.path.islink(whole):
        return os.path.realpath(whole)
    parent, name = os.path.split(whole)
    if parent not in folders:
        folders[parent] = os.path.realpath(parent)
    return os.path.join(folders[parent], name)


def _parse_row(row: Any, root: Path) -> tuple[int, Item]:
    key, path, label, sha256 = row
    if type(key) is not int or key < 0:
        raise ValueError(f"the id {key!r}")
    if not all(isinstance(word, str) for word in (path, label, sha256)):
        raise ValueError(f"id {key} is not described by three words")
    pure = PurePath(path)
    plain = not (pure.is_absolute() or pure.drive or pure.root or "\0" in path)
    if os.name == "nt":
        plain = plain and "\\" not in path and ":" not in path
    if not plain or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"id {key} has the path {path!r}, which leaves the root")
    return key, Item(root / path, label, sha256)
