"""What a collection knows of a folder that it was loaded from or saved into."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from utils.collection.bundles import opened_plain
from utils.collection.catalogue import Catalogue
from utils.collection.collection_store import Stored, Version
from utils.collection.difference import Difference
from utils.collection.locks import SaveConflictError, locked
from utils.collection.vector_index import next_id_of
from utils.errors import IndexFileError

IDS = ".ids"  # one line: the first id that nobody has been given yet
LAST_TO_GIVE = 1 << 60  # below LAST_ID of an index, by more than anybody can add


@dataclass
class Home:
    """One folder, and what stood there when it was last loaded or saved."""

    folder: Path
    version: Version
    lineage: str
    catalogue: Catalogue
    root: Path | None  # where the pictures are, if whoever loaded it said so
    reserved: bool = True  # all ids that were given since, in `folder`

    def conflict(self, found: Version) -> SaveConflictError:
        """Return the error that says that the folder has moved on."""
        return _conflict(
            self.folder,
            f"{self.version}, which this collection was loaded from or saved as",
            f"{found}: somebody else has changed it since",
            "To keep both, save(folder, merge=True): your additions, removals and "
            "labels on top of what is there. Or load it again and repeat them",
        )

    def check_mergeable(self, newer: Stored, mine: Difference) -> None:
        """Raise a SaveConflictError unless `mine` can go on top of what is newer."""
        theirs, next_id = newer.catalogue.items, next_id_of(newer.index)
        same_root = newer.catalogue.root == self.catalogue.root
        why = ""
        for id, item in mine.new.items():
            other = id in theirs and theirs[id].path != item.path
            if other or (id < next_id and not self.reserved):
                why = f"both have given the id {id}: none could be reserved in it"
        if newer.lineage != self.lineage or not same_root:
            why = "another collection has taken its place"
        if why:
            expected = f"a later state of {self.version}, to merge with"
            advice = "Load it and repeat your changes"
            raise _conflict(self.folder, expected, f"{newer.version}: {why}", advice)


def check_replaceable(folder: Path, found: Version, *, merge: bool) -> None:
    """Raise a SaveConflictError if what is there may not be replaced unseen."""
    expected = "nothing that a first save would lose"
    if merge:
        received = f"{found}, which this collection was not loaded from"
        raise _conflict(folder, expected, received, "Load it, add to it")
    if found.changes:
        received = f"{found}, which no save contains"
        raise _conflict(folder, expected, received, "Load it, save it here first")


def _conflict(
    folder: Path, expected: str, received: str, advice: str
) -> SaveConflictError:
    return SaveConflictError(
        f"{folder}: expected {expected}. Received {received}. {advice}, save into "
        "another folder, or save(folder, replace=True), which loses what is there."
    )


def reserve_ids(folder: Path, first: int, n: int) -> int | None:
    """Return the first of n ids that nobody else is given, `first` or a later one.

    So two writers give different ids before they know of each other, and one alone
    counts on without a gap, unless it forgets what it has added.  None if the folder
    is gone, cannot be written or has no locks.  IndexFileError if its file of ids is
    damaged.
    """
    path = folder / IDS
    try:
        if not folder.is_dir():
            return None
        with locked(folder) as alone:
            if not alone:
                return None
            if os.path.lexists(path):
                first = max(first, _read_ids(path))
            temporary = folder / f"{IDS}.new"
            temporary.write_text(f"{first + n}\n")
            os.replace(temporary, path)
    except OSError:
        return None
    return first


def forget_ids(folder: Path) -> None:
    """Begin to count anew: another collection begins in this folder."""
    (folder / IDS).unlink(missing_ok=True)


def _read_ids(path: Path) -> int:
    with opened_plain(path, 30) as file:
        line = file.read(30)
    found = re.fullmatch(rb"\d{1,19}\n", line)
    if not found or int(line) > LAST_TO_GIVE:
        raise IndexFileError(
            f"{path}: expected one line with the next id, at most {LAST_TO_GIVE}. "
            f"Received {len(line)} bytes of another kind. Delete it, when no other "
            "program has this collection open."
        )
    return int(line)
