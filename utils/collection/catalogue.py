"""What an id means: the path, label and content of each picture of a collection.

It handles names only, and opens no file.  Names that come
from a saved collection are data: none that climbs out of the stored folder is let in.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

from utils.errors import IndexFileError, expanded, printable

ADVICE = "Build the collection again and save it."


class Item(NamedTuple):
    """A picture of a collection; `sha256` is that of the bytes that were embedded."""

    path: Path
    label: str
    sha256: str


class Catalogue:
    """An unchanging table from ids to pictures; `changed` makes the next one.

    Two names for one file, through links or ``..``, are one picture.

    `items` have absolute paths; as an attribute they are in the order of the ids, and
    cannot be written to.  `root` is the collection's own folder, which stays the same
    whatever is added.  `real_paths` has the id of each file's real name, where they are
    known already.
    """

    def __init__(
        self,
        items: Mapping[int, Item],
        root: str | os.PathLike,
        *,
        real_paths: Mapping[str, int] | None = None,
    ) -> None:
        self.root = absolute(root)
        self.items: Mapping[int, Item] = MappingProxyType(dict(sorted(items.items())))
        self._ids = _real_paths(items) if real_paths is None else real_paths

    def __len__(self) -> int:
        return len(self.items)

    def find(self, path: str | os.PathLike) -> int | None:
        """Return the id of a picture, or None if it is not in the collection."""
        return self._ids.get(real_path(path, {}))

    def below(self, folder: str | os.PathLike) -> list[int]:
        """Return the ids of the pictures in a folder and the folders below it.

        Real folders count, not their spellings.  A picture that is reached through
        links is both where it is and where the links are.
        """
        folders: dict[str, str] = {}
        real = os.path.realpath(expanded(folder))
        inside = {
            parent
            for parent in {item.path.parent for item in self.items.values()}
            if any(_is_in(os.path.realpath(p), real) for p in (parent, *parent.parents))
        }
        return [
            id
            for id, item in self.items.items()
            if item.path.parent in inside or _is_in(real_path(item.path, folders), real)
        ]

    def strays(self, *, only_root: bool = False) -> list[int]:
        """Return the ids of pictures that are not, or no more, where their names say.

        A picture in the root must really lie in it, one outside must have no link on
        its way; with `only_root` there may be none outside.
        """
        root, found = os.path.realpath(self.root), []
        folders: dict[str, str] = {}
        for id, item in self.items.items():
            real = real_path(item.path, folders)
            if self.root in item.path.parents:
                good = _is_in(real, root)
            else:
                good = not only_root and real == str(item.path)
            found += [] if good else [id]
        return found

    def folder_label(self, path: Path) -> str:
        """Return the name of the first folder below the root on a path, or ""."""
        if self.root not in path.parents:
            return ""
        folders = path.relative_to(self.root).parts[:-1]
        return folders[0] if folders else ""

    def changed(self, remove: Iterable[int], add: Mapping[int, Item]) -> "Catalogue":
        """Return a catalogue without some known ids, and with new or other items.

        ValueError if no folder holds the root and a new picture (two drives of
        Windows): such a collection could not be saved.
        """
        common_folder(self.root, [item.path for item in add.values()])
        gone = set(remove)
        items = {id: item for id, item in self.items.items() if id not in gone}
        real_paths = {path: id for path, id in self._ids.items() if id not in gone}
        return Catalogue(
            items | dict(add), self.root, real_paths=real_paths | _real_paths(add)
        )

    def dump(self, header: Mapping[str, Any]) -> bytes:
        """Return the table as JSON; paths are relative to the base, which is named."""
        base = common_folder(self.root, [item.path for item in self.items.values()])
        rows = [
            [id, item.path.relative_to(base).as_posix(), item.label, item.sha256]
            for id, item in self.items.items()
        ]
        folder = self.root.relative_to(base).as_posix()
        table = {**header, "root": str(base), "folder": folder, "items": rows}
        # ASCII with escapes: holds names that are not valid UTF-8, too
        return json.dumps(table).encode("ascii")

    @classmethod
    def parse(
        cls, content: bytes, name: str, *, root: str | os.PathLike | None = None
    ) -> tuple["Catalogue", dict[str, Any]]:
        """Read what `dump` wrote: the catalogue, and the header.

        `name` is the file's, for errors; `root` is where the collection's folder is
        now, by default where it was.  IndexFileError if it is another kind of table,
        or a path in it leads out of its base.
        """
        try:
            header = json.loads(content)
            rows, stored = header.pop("items"), header.pop("root")
            folder = header.pop("folder", ".")  # older bundles have none
            if not isinstance(rows, list) or "\0" in stored:
                raise ValueError("a value of another kind")
            base = absolute(stored)
            home = base if folder == "." else base / _checked_path(folder)
            items = dict(parse_row(row, base) for row in rows)
            if list(items) != sorted(items) or len(items) != len(rows):
                raise ValueError("ids out of order")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise IndexFileError(
                f"{name}: expected the table of pictures that ImageSearch.save writes. "
                f"Received another one ({type(e).__name__}: {e}). {ADVICE}"
            ) from e
        if root is not None:
            before, home = home, absolute(root)
            for id, item in items.items():
                if before in item.path.parents:  # others stay where they were
                    moved = home / item.path.relative_to(before)
                    items[id] = item._replace(path=moved)
        return cls(items, home), header


def common_folder(root: Path | None, paths: Iterable[Path]) -> Path:
    """Return the smallest folder that holds the root, if any, and all files.

    ValueError if there is none, as with two drives of Windows.
    """
    folders = {str(path.parent) for path in paths}
    if root is not None:
        folders.add(str(root))
    try:
        return Path(os.path.commonpath(folders))
    except ValueError as error:
        raise ValueError(
            "expected pictures that lie in one folder, however deep. Received: "
            f"{printable(', '.join(sorted(folders)[:3]))} ({error})."
        ) from error


def absolute(path: str | os.PathLike) -> Path:
    """Return a path from the top of the disk, without going through its links."""
    whole = os.path.abspath(expanded(path))
    if os.name != "nt" and whole.startswith("//"):  # which abspath leaves alone
        whole = whole[1:]
    return Path(whole)


def spell(
    path: str | os.PathLike, root: Path, folders: dict[str, str] | None = None
) -> Path:
    """Return the name by which a collection knows a picture.

    In the root, however it was spelled, that is by way of the root; outside, its real
    name.  What a link in the root leads to lies outside: by its real name it can be
    saved and loaded, while a link that is put there later is not followed.
    """
    whole = absolute(path)
    known = {} if folders is None else folders
    real, real_root = real_path(whole, known), os.path.realpath(root)
    if not _is_in(real, real_root):
        return Path(real)
    if root in whole.parents:
        return whole
    return root / os.path.relpath(real, real_root)


def real_path(path: str | os.PathLike, folders: dict[str, str]) -> str:
    """Return the one true name of a file; `folders` remembers those of its folders."""
    whole = str(absolute(path))
    if os.path.islink(whole):
        return os.path.realpath(whole)
    parent, name = os.path.split(whole)
    if parent not in folders:
        # No folder has a null character in its name, and nobody knows its real one.
        folders[parent] = parent if "\0" in parent else os.path.realpath(parent)
    return os.path.join(folders[parent], name)


def _real_paths(items: Mapping[int, Item]) -> dict[str, int]:
    folders: dict[str, str] = {}
    return {real_path(item.path, folders): id for id, item in items.items()}


def written_row(id: int, item: Item, root: Path) -> list[Any]:
    """Return what JSON can hold of an item: paths in the root count from there."""
    path = item.path.relative_to(root) if root in item.path.parents else item.path
    return [id, path.as_posix(), item.label, item.sha256]


def parse_row(row: Any, base: Path, *, anywhere: bool = False) -> tuple[int, Item]:
    """Return the id and the item of a row; ValueError if it is none.

    Its path must lie in the base, unless one from the top of the disk may lie
    `anywhere`.
    """
    id, path, label, sha256 = row
    if type(id) is not int or id < 0:
        raise ValueError(f"the id {id!r}")
    if not all(isinstance(word, str) for word in (path, label, sha256)):
        raise ValueError(f"id {id} is not described by three words")
    if anywhere and os.path.isabs(path) and "\0" not in path:
        if absolute(path) != Path(path):
            raise ValueError(f"the path {path!r}, which is spelled another way")
        return id, Item(Path(path), label, sha256)
    return id, Item(base / _checked_path(path), label, sha256)


def _checked_path(path: str) -> str:
    pure = PurePath(path)
    plain = not (pure.is_absolute() or pure.drive or pure.root or "\0" in path)
    if not plain or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"the path {path!r} leaves the root")
    if os.name == "nt" and any(letter in path for letter in "\\:"):
        raise ValueError(f"no file of Windows can have the path {path!r}")
    return path


def _is_in(path: str, folder: str) -> bool:
    """Whether a real path is that of a real folder, or below it."""
    return path == folder or path.startswith(os.path.join(folder, ""))
