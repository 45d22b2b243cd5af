"""A collection of pictures and vectors that is kept in folders.

What `ImageSearch` is besides searching: its content, and how that is saved, loaded and
brought together with what somebody else has saved meanwhile.
"""

import os
import threading
import warnings
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from utils.collection.bundles import made_folder, new_build
from utils.collection.catalogue import Catalogue, Item
from utils.collection.collection_store import (
    Stored,
    Version,
    read_collection,
    version_in,
    write_collection,
)
from utils.collection.difference import Difference, between, rebased
from utils.collection.extraction import exact_vectors
from utils.collection.home import Home, check_replaceable, forget_ids, reserve_ids
from utils.collection.journal import Journal, encoded
from utils.collection.locks import (
    Claim,
    SaveConflictError,
    check_unclaimed,
    claim,
    locked,
)
from utils.collection.vector_index import VectorIndex, next_id_of
from utils.embeddings import Embedder, load_embedder
from utils.errors import IndexFileError, printable
from utils.images import Refusal, expanded


@dataclass(frozen=True)
class State:
    """All that a change changes; replaced whole: a search sees all of it or nothing."""

    index: VectorIndex
    catalogue: Catalogue


@dataclass
class _Tenancy:
    """What a collection holds that is open for durable changes."""

    folder: str  # its real path
    claim: Claim
    journal: Journal

    def close(self) -> None:
        self.journal.close()
        self.claim.release()


class KeptCollection:
    """Pictures, their vectors, and the folders that the two are kept in.

    `refused` lists the files that were left out when the collection was made or loaded,
    and why; `pipeline` is the embedder's: what the vectors depend on.
    """

    def __init__(
        self,
        index: VectorIndex,
        catalogue: Catalogue,
        *,
        pipeline: str,
        embedder: Embedder | None = None,
        refused: Iterable[Refusal] = (),
    ) -> None:
        self.pipeline = pipeline
        self.refused = list(refused)
        self._embedder = embedder
        self._state = State(index, catalogue)
        self._changing = threading.RLock()  # one change, or save, at a time
        self._embedding = threading.RLock()
        self._homes: dict[str, Home] = {}  # by real path; the last is in use
        self._tenancy: _Tenancy | None = None

    def __len__(self) -> int:
        return len(self.items)

    # --- What it holds ------------------------------------------------------------

    @property
    def index(self) -> VectorIndex:
        """The vectors, inner product.  To change them, change the collection.

        `compact` and `needs_retraining` may be called here: no id changes its meaning.
        """
        return self._state.index

    @property
    def items(self) -> Mapping[int, Item]:
        """The path, label and sha256 of each id, in the order of the ids."""
        return self._state.catalogue.items

    @property
    def root(self) -> Path:
        """The collection's folder: `update` looks through it, labels count from it."""
        return self._state.catalogue.root

    @property
    def embedder(self) -> Embedder:
        """The network that made the vectors, loaded when it is first needed."""
        with self._embedding:
            return self._embedder or self.use(load_embedder())

    def use(self, embedder: Embedder) -> Embedder:
        """Take a network from now on; IndexFileError if another made the vectors."""
        if embedder.pipeline != self.pipeline:
            raise IndexFileError(
                f"The collection was made by {self.pipeline}; received an embedder of "
                f"{embedder.pipeline}. Pass embedder=... with its own, made by "
                "load_embedder, utils.fast's load_fast_embedder or a load_network."
            )
        self._embedder = embedder
        return embedder

    # --- Loading ------------------------------------------------------------------

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike,
        *,
        embedder: Embedder | None = None,
        root: str | os.PathLike | None = None,
        mmap: bool = False,
    ) -> Self:
        """Read what `save` wrote; neither the pictures nor a network are needed.

        The default embedder is loaded when the first query needs it.  `root` is where
        the collection's folder is now, if it has moved.  Pictures outside it are left
        out then: pass it for a bundle that somebody else made, too, which otherwise
        says itself where its pictures are.

        `mmap` leaves the vectors in the file, for a collection that is large beside
        the memory or is searched by several processes: the system reads what a search
        touches.  The first change reads them into memory.  Save as usual.

        What durable changes (`open`) have done since the save is there, too.

        IndexFileError if a file is missing or damaged or belongs to another save, a
        path leads out of the root, or another embedder made the vectors.  (A picture
        that a link takes out of the root is left out, with a warning.)
        """
        stored = read_collection(folder, root=root, mmap=mmap)
        if embedder is not None and embedder.pipeline != stored.pipeline:
            raise IndexFileError(
                f"{folder}: made by {stored.pipeline}; received an embedder of "
                f"{embedder.pipeline}. Vectors of the two cannot be compared."
            )
        index, catalogue = stored.index, stored.catalogue
        loaded = cls(index, catalogue, pipeline=stored.pipeline, embedder=embedder)
        moved = None if root is None else loaded.root
        loaded._leave_out_strays(moved)
        loaded._settle(Path(expanded(folder)), stored, moved)
        return loaded

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike,
        *,
        durable: bool = False,
        embedder: Embedder | None = None,
        root: str | os.PathLike | None = None,
        mmap: bool = False,
    ) -> Self:
        """Do what `load` does, and on request let no change be lost from then on.

        If `durable`, what add, remove and update do is on the disk before they
        return, in a journal beside the save: neither a kill nor, if the disk keeps its
        word, a power cut undoes it.  `save` begins a new journal.  (A training is no
        change: it lasts once it is saved.)

        Until `close`, the end of a ``with`` or of the program, nobody else may open the
        collection like this or save into its folder; everybody may load it.
        SaveConflictError if somebody has it open.
        """
        options: dict[str, Any] = {"embedder": embedder, "root": root, "mmap": mmap}
        place = Path(expanded(folder))
        if not durable or version_in(place) is None:
            return cls.load(place, **options)  # which says so if there is none
        with locked(place) as alone:
            if not alone:
                raise SaveConflictError(
                    f"{place}: expected a disk that can lock files, so that only one "
                    "program makes durable changes. Received one that cannot. Keep "
                    "the collection on another disk, or load it and save it."
                )
            claimed = claim(place)
            try:
                loaded = cls.load(place, **options)
                (key, home), *_ = loaded._homes.items()
                journal = Journal(place, home.version.generation)
            except BaseException:
                claimed.release()
                raise
            loaded._tenancy = _Tenancy(key, claimed, journal)
        return loaded

    def close(self) -> None:
        """Let others write again, if it was open for durable changes; it cannot change.

        Changes that were not saved stay in the journal: the next `load` finds them.
        """
        with self._changing:
            if self._tenancy is not None:
                self._tenancy.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _leave_out_strays(
        self, root: Path | None, *, known: Container[int] = ()
    ) -> None:
        """Forget pictures that a bundle places where nothing may be opened."""
        state = self._state
        strays = state.catalogue.strays(only_root=root is not None)
        strays = [id for id in strays if id not in known]
        if not strays:
            return
        reason = (
            f"lies outside the picture root, {printable(str(self.root))}, or a link "
            "leads there. It was left out unopened; add takes it in again, if you "
            "trust it."
        )
        paths = [self.items[id].path for id in strays]
        self.refused += [Refusal(path, reason) for path in paths]
        none = np.empty((0, state.index.d), dtype=np.float32)
        gone = Difference(strays, {}, {}, none)
        self._state = State(*gone.applied(state.index, state.catalogue))
        warnings.warn(
            f"{len(strays)} of {len(state.catalogue)} pictures were left out, and are "
            f"named in `refused`. The first: {printable(str(paths[0]))}: {reason}",
            RuntimeWarning,
            stacklevel=3,
        )

    # --- Saving -------------------------------------------------------------------

    def save(
        self, folder: str | os.PathLike, *, merge: bool = False, replace: bool = False
    ) -> None:
        """Write the collection into a folder so that a crash cannot spoil it.

        At every moment `load` finds the collection that was saved before, or this
        one.  `utils.collection.bundles` describes the files.  The folder is made if it
        does not exist; OSError if the disk is full or not writable.

        SaveConflictError if somebody else has changed the folder since this collection
        was loaded from it or saved into it; then nothing is written.  With `merge`,
        what this one has added, removed and labelled is done again on top of what is
        there, index and training included, and this one becomes the result.  Ids stay,
        except where both have added one picture (a warning names them).  With
        `replace`, what is there is lost.

        A collection that was not in this folder before replaces what is there, unless
        that has durable changes which no save contains.
        """
        if merge and replace:
            raise ValueError("expected merge or replace. Received both.")
        place = made_folder(folder)
        with self._changing, locked(place) as alone:
            if self._tenancy_in(place) is None:
                check_unclaimed(place)
            home = None if replace else self._homes.get(os.path.realpath(place))
            before = after = self._state
            found = None if replace else version_in(place)
            if found is not None and home is None:
                check_replaceable(place, found, merge=merge)
            elif found is not None and home is not None and found != home.version:
                if not merge:
                    raise home.conflict(found)
                after = self._merged(home)
            self._write(place, after, home, alone=alone)
            if home is not None and after is not before:  # others' pictures came in
                self._leave_out_strays(home.root, known=before.catalogue.items)
                self._homes[os.path.realpath(place)].catalogue = self._state.catalogue

    def _merged(self, home: Home) -> State:
        """Return what stands in a folder with this side's changes on top of it."""
        newer = read_collection(home.folder, root=home.root, mmap=False)
        state = self._state
        gone, changed, new = between(home.catalogue, state.catalogue)
        mine = Difference(gone, changed, new, self._vectors_of(new))
        home.check_mergeable(newer, mine)
        todo, same = rebased(mine, newer.catalogue)
        if told := [f"{old} is {id}" for old, id in same.items() if old != id]:
            warnings.warn(
                f"{len(told)} of the added pictures have an id already in "
                f"{printable(str(home.folder))}, which they keep: {', '.join(told)}.",
                RuntimeWarning,
                stacklevel=3,
            )
        next_id = next_id_of(state.index)
        return State(*todo.applied(newer.index, newer.catalogue, next_id=next_id))

    def _vectors_of(self, items: Mapping[int, Item]) -> np.ndarray:
        """Return the exact vectors of some of the pictures."""
        if not items or self.index.keeps_vectors:
            return self.index.reconstruct(items)
        return exact_vectors(list(items.values()), self.pipeline, lambda: self.embedder)

    def _write(
        self, place: Path, state: State, home: Home | None, *, alone: bool
    ) -> None:
        """Write a state; then it is this collection's, and the place its home."""
        build = new_build()
        lineage = build if home is None else home.lineage
        version = Version(f"generation-{build}", 0)
        new = Stored(state.index, state.catalogue, self.pipeline, lineage, version)
        try:
            write_collection(place, new, alone=alone)
        finally:  # an error after the last step does not undo it
            if version_in(place) == version:
                self._state = state
                self._settle(place, new, None if home is None else home.root)
        if home is None:
            forget_ids(place)

    def _settle(self, place: Path, stored: Stored, root: Path | None) -> None:
        """Go on from what stands in a place."""
        key, version = os.path.realpath(place), stored.version
        catalogue = self._state.catalogue
        self._homes.pop(key, None)  # the last one is where ids are reserved
        self._homes[key] = Home(Path(key), version, stored.lineage, catalogue, root)
        if (tenancy := self._tenancy_in(place)) is not None:
            tenancy.journal.close()
            tenancy.journal = Journal(place, version.generation)

    def _tenancy_in(self, place: Path) -> _Tenancy | None:
        tenancy = self._tenancy
        if tenancy is None or tenancy.journal.closed:
            return None
        return tenancy if tenancy.folder == os.path.realpath(place) else None

    # --- Changing -----------------------------------------------------------------

    def _commit(
        self,
        gone: Iterable[int],
        relabelled: Mapping[int, Item] | None = None,
        new: Sequence[Item] = (),
        vectors: np.ndarray | None = None,
    ) -> None:
        """Change index and catalogue together, or neither; `vectors` are of `new`."""
        state = self._state
        if vectors is None or not new:
            vectors = np.empty((0, state.index.d), dtype=np.float32)
        first = self._reserve_ids(len(new))
        change = Difference(
            sorted(set(gone)), relabelled or {}, dict(enumerate(new, first)), vectors
        )
        after = State(*change.applied(state.index, state.catalogue))
        if self._tenancy is None or not (change.gone or change.changed or new):
            self._state = after
            return
        home, journal = self._homes[self._tenancy.folder], self._tenancy.journal
        before, self._state = journal.count, after
        try:
            journal.append(encoded(change, self.root))
        finally:  # an interruption is none if the change is written
            if journal.count == before:
                self._state = state
            home.version = home.version._replace(changes=journal.count)

    def _reserve_ids(self, n: int) -> int:
        """Return the first of n ids that no other writer of its home gives."""
        first = next_id_of(self.index)
        if n == 0 or not self._homes:
            return first
        held = self._tenancy and self._homes[self._tenancy.folder]
        place = held or list(self._homes.values())[-1]
        reserved = reserve_ids(place.folder, first, n)
        for home in self._homes.values():
            home.reserved &= home is place and reserved is not None
        return first if reserved is None else reserved
