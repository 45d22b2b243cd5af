"""The façade: a folder of pictures in, the most similar ones out.

`ImageSearch` puts the siblings together: it alone knows pictures, vectors and ids.

>>> search = ImageSearch.from_folder("images")                    # doctest: +SKIP
>>> hits = search.search("images/mug/mug_0_5.jpg", k=5)           # doctest: +SKIP
"""

import os
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils import images, plotting
from utils.collection import bundles
from utils.collection.cache import VectorCache
from utils.collection.catalogue import Catalogue, Item, absolute, common_folder
from utils.collection.changes import Changes, compare, finder, once_each, plan_changes
from utils.collection.extraction import (
    NO_DIRECTION,
    EmbeddedFiles,
    embed_files,
    has_direction,
)
from utils.collection.vector_index import VectorIndex
from utils.embeddings import Embedder, load_embedder
from utils.errors import (
    IndexFileError,
    LookalikeError,
    PictureError,
    check_k,
    printable,
)
from utils.images import Collection, Refusal
from utils.indexes import load_index

INDEX_FILE, ITEMS_FILE = "index.faiss", "items.json"


class Hit(NamedTuple):
    """One result.  `score` is the cosine similarity, from −1 to 1 (same direction)."""

    rank: int
    id: int
    path: Path
    label: str
    score: float


class _State(NamedTuple):
    """All that a change changes; replaced whole, so that a search sees one moment."""

    index: VectorIndex
    catalogue: Catalogue


class ImageSearch:
    """A collection of pictures that can be searched by picture, changed and saved.

    Searches and changes may come from many threads: changes wait for each other, and
    a search sees the collection as it was before a change or after it.

    Attributes
    ----------
    refused : list of Refusal
        The files that were left out when the collection was made or loaded, and why.
    pipeline : str
        The embedder's `pipeline`: what the vectors depend on.
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
        self._state = _State(index, catalogue)
        self._changing = threading.RLock()  # one change at a time
        self._embedding = threading.RLock()

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        labels = len(set(self.labels))
        return f"ImageSearch: {len(self)} pictures, {labels} labels, {self.pipeline}"

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike,
        *,
        factory: str = "Flat",
        embedder: Embedder | None = None,
        progress: bool = False,
    ) -> "ImageSearch":
        """Index every picture below a folder; folder names become labels.

        Parameters
        ----------
        folder : path
            Holds class folders, loose pictures, or both.
        factory : str
            FAISS index factory string.
        embedder : Embedder, optional
            Default: `load_embedder()`.
        progress : bool
            Show a bar while it works.

        Returns
        -------
        search : ImageSearch
            Its `refused` names the files that were left out.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If no picture in it can be read.
        """
        found = images.scan_folder(folder)
        if not len(found):
            raise ValueError(
                f"{printable(str(folder))}: expected pictures "
                f"({', '.join(sorted(images.PICTURE_SUFFIXES))}), found none that can be read "
                f"({len(found.refused)} files refused)."
            )
        options = {"factory": factory, "embedder": embedder, "progress": progress}
        return cls.from_collection(found, root=folder, **options)

    @classmethod
    def from_collection(
        cls,
        collection: Collection,
        *,
        root: str | os.PathLike | None = None,
        factory: str = "Flat",
        embedder: Embedder | None = None,
        progress: bool = False,
    ) -> "ImageSearch":
        """Index the pictures of a `Collection`: its `paths` with their `labels`.

        Parameters
        ----------
        collection : Collection
        root : path, optional
            The collection's folder, which `update` looks through.  Default: the
            smallest one that holds all the pictures.
        factory, embedder, progress
            As in `from_folder`.

        Returns
        -------
        search : ImageSearch

        Raises
        ------
        ValueError
            If there is not one label, a str, for each path, or no picture can be read.
        """
        labels = _labels_for(collection.paths, collection.labels)
        paths = [absolute(path) for path in collection.paths]
        folder = common_folder(None, paths) if root is None and paths else root
        folder = absolute(folder or os.curdir)
        embedder = embedder or load_embedder()
        wanted = once_each(paths, labels, folder)
        embedded = embed_files(list(wanted), embedder, progress=progress)
        if not embedded.positions:
            refused = [*embedded.refused, *collection.refused]
            why = [f"{printable(str(path))}: {reason}" for path, reason in refused]
            raise ValueError(
                f"expected pictures that can be read. Received {len(collection)}, of "
                f"which none can be. The first: {(why or ['there is none'])[0]}"
            )
        items = dict(enumerate(_embedded_items(embedded, wanted)))
        return cls(
            VectorIndex(embedded.vectors, factory),
            Catalogue({}, folder).changed([], items),
            pipeline=embedder.pipeline,
            embedder=embedder,
            refused=[*collection.refused, *embedded.refused],
        )

    @property
    def index(self) -> VectorIndex:
        """The vectors, inner product.  To change them, change the collection."""
        return self._state.index

    @property
    def items(self) -> Mapping[int, Item]:
        """The path, label and content hash of each id, in the order of the ids."""
        return self._state.catalogue.items

    @property
    def paths(self) -> list[Path]:
        """The pictures in the order of their ids.

        Ids are positions in this list until a picture is removed or replaced;
        `path_of` is right for ever.
        """
        return [item.path for item in self.items.values()]

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the ids; "" where there is none."""
        return [item.label for item in self.items.values()]

    @property
    def root(self) -> Path:
        """The collection's folder: `update` looks through it, labels count from it.

        Pictures that were added from outside do not change it.
        """
        return self._state.catalogue.root

    @property
    def embedder(self) -> Embedder:
        """The network that made the vectors, loaded when it is first needed."""
        with self._embedding:
            if self._embedder is None:
                embedder = load_embedder()
                if embedder.pipeline != self.pipeline:
                    raise IndexFileError(
                        f"The collection was embedded by {self.pipeline}; received "
                        f"{embedder.pipeline}. Pass the embedder it was made with: "
                        "ImageSearch.load(folder, embedder=...), from load_embedder "
                        "or, for another precision, load_fast_embedder."
                    )
                self._embedder = embedder
            return self._embedder

    # --- Searching ---------------------------------------------------------------

    def embed(self, query: Any) -> np.ndarray:
        """Turn a query into a unit vector, the same way as the collection.

        The vector of a file (or of bytes) comes from the vector cache if it is known
        there, which needs no network, and is kept there if it is not.

        Parameters
        ----------
        query : path, bytes, PIL image or array of shape (height, width, 3)

        Returns
        -------
        vector : float32 array of shape (2048,)

        Raises
        ------
        PictureError
            If the query is no picture that can be read, or one without anything in
            it that the network sees.
        """
        name = images.name_of(query)
        if isinstance(query, str | Path):
            query = images.read_file(query)
        if not isinstance(query, bytes):
            return self._look_at(query, name)
        key = images.sha256_of(query)
        with VectorCache() as cache:
            vector = cache.get(self.pipeline, [key]).get(key)
            if vector is None or not has_direction(vector):
                vector = self._look_at(query, name)
                cache.put(self.pipeline, [key], vector[None])
        return vector

    def _look_at(self, query: Any, name: str) -> np.ndarray:
        """Return a query's vector from the network itself."""
        pixels = images.load_picture(query, self.embedder.input_size, name=name)
        with self._embedding:  # Keras builds its graph at the first call
            vector = self.embedder.embed(pixels[None])[0]
        if not has_direction(vector):
            raise PictureError(name, NO_DIRECTION)
        return vector

    def search(
        self, query: Any, k: int = 5, *, exclude: Iterable[int] = ()
    ) -> list[Hit]:
        """Find the k most similar pictures.

        Parameters
        ----------
        query : path, bytes, PIL image or array of shape (height, width, 3)
        k : int
            How many; fewer come back where the collection is smaller.
        exclude : iterable of int
            Ids that must not come back, such as the query's own (`id_of`).

        Returns
        -------
        hits : list of Hit
            Best first.

        Raises
        ------
        PictureError
            If the query is no picture that can be read.
        ValueError
            If k is below 1.
        """
        return self.search_vectors(self.embed(query)[None], k, exclude=exclude)[0]

    def search_vectors(
        self, queries: np.ndarray, k: int = 5, *, exclude: Iterable[int] = ()
    ) -> list[list[Hit]]:
        """Find the k most similar pictures of each query vector.

        Parameters
        ----------
        queries : float32 array of shape (q, 2048)
            Unit vectors.
        k, exclude
            As in `search`.

        Returns
        -------
        hits : q lists of Hit
        """
        k, excluded, state = check_k(k), set(exclude), self._state
        found = state.index.search(queries, k + len(excluded))
        items = state.catalogue.items
        return [_hits(*row, items, excluded)[:k] for row in zip(*found, strict=True)]

    def id_of(self, path: str | os.PathLike) -> int:
        """Return the id of a picture of the collection.

        Raises
        ------
        KeyError
            If the path is not in the collection.
        """
        found = self._state.catalogue.find(path)
        if found is None:
            raise KeyError(
                f"{printable(str(path))} is not in this collection of {len(self)} "
                "pictures."
            )
        return found

    def path_of(self, key: int) -> Path:
        """Return the path of an id.

        Raises
        ------
        KeyError
            If no picture has this id, or none has it any more.
        """
        items = self.items
        if key not in items:
            raise KeyError(f"No picture of these {len(items)} has the id {key}.")
        return items[key].path

    def show(self, query: Any, hits: list[Hit], *, label: str | None = None) -> None:
        """Draw the query and its hits in a row.

        Parameters
        ----------
        query : path, bytes, PIL image or array
        hits : list of Hit
            What `search` returned.
        label : str, optional
            The query's label: hits with another are marked as wrong.
        """
        show_hits([query], [hits], labels=None if label is None else [label])

    # --- Changing ----------------------------------------------------------------

    def add(
        self,
        paths: Iterable[str | os.PathLike],
        labels: Sequence[str] | str | None = None,
        *,
        progress: bool = False,
    ) -> Changes:
        """Add pictures; those that are known already are brought up to date.

        A picture whose content has changed is another one to the index: it gets a new
        id, and the old id is gone for good.  Files that cannot be read are reported
        and left out; on any error nothing has changed.

        Parameters
        ----------
        paths : iterable of path
        labels : sequence of str, or str, optional
            One a path, or one for all.  Default: a known picture keeps its label; a
            new one gets the name of the first folder below `root` on its path, or ""
            if it lies outside.
        progress : bool
            Show a bar while it works.

        Returns
        -------
        changes : Changes
            Its `removed` is empty, unless a known file has become useless.

        Raises
        ------
        ValueError
            If there is not one label, a str, for each path.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        given = [None] * len(paths) if labels is None else _labels_for(paths, labels)
        with self._changing:
            wanted = once_each(paths, given, self.root)
            return self._bring_in(wanted, [], progress=progress)

    def remove(self, ids: Iterable[int | str | os.PathLike]) -> Changes:
        """Remove pictures from the collection; the files are left alone.

        Parameters
        ----------
        ids : iterable of int or path

        Returns
        -------
        changes : Changes
            With `removed` only.

        Raises
        ------
        KeyError
            If one of them is not in the collection; then none is removed.
        """
        if isinstance(ids, int | np.integer | str | os.PathLike):
            ids = [ids]
        with self._changing:
            keys = [
                self.id_of(i) if isinstance(i, str | os.PathLike) else i for i in ids
            ]
            gone = {int(key): self.path_of(key) for key in keys}
            self._commit(gone, {}, [], np.empty((0, 0), np.float32))
        return Changes([], [], list(gone.values()), [], [])

    def update(
        self, folder: str | os.PathLike | None = None, *, progress: bool = False
    ) -> Changes:
        """Make the collection agree with a folder: new, changed and vanished files.

        Files are compared by content, so those that have not changed cost one reading
        and no computing.  Pictures outside the folder are left alone, and so are
        those that cannot be looked at just now (no permission, a disk that is off).

        Parameters
        ----------
        folder : path, optional
            Default: `root`.
        progress : bool
            Show a bar while it works.

        Returns
        -------
        changes : Changes

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If there is no picture left in it at all: more likely the wrong folder, or
            a disk that is not mounted.
        """
        with self._changing:
            folder = self.root if folder is None else folder
            found = images.scan_folder(folder)
            catalogue = self._state.catalogue
            find = finder(catalogue)
            known = set(catalogue.below(folder))
            if known and not len(found):
                raise ValueError(
                    f"{printable(str(folder))}: expected pictures, found none, which "
                    f"would remove {len(known)} from the collection. Is it the right "
                    "folder, and its disk mounted? To empty a collection use remove."
                )
            known -= {find(path) for path in found.paths}
            known -= self._out_of_sight(found.refused)
            wanted = once_each(found.paths, found.labels, self.root)
            for path in wanted:
                # In the root labels count from the root, as they always did.
                if self.root in path.parents or find(path) is not None:
                    wanted[path] = None
            changes = self._bring_in(wanted, sorted(known), progress=progress)
        return changes._replace(refused=[*found.refused, *changes.refused])

    def check(self) -> list[Refusal]:
        """Compare the collection with the files; `update` mends what this finds.

        Returns
        -------
        trouble : list of Refusal
            The pictures that are missing, unreadable or not the ones that were
            embedded, each with the reason.
        """
        compared = [(item.path, *compare(item)) for item in self.items.values()]
        return [Refusal(path, why) for path, state, why in compared if state != "same"]

    def needs_retraining(self) -> bool:
        """Say whether `retrain` would help, by the rule of `VectorIndex`."""
        return self.index.needs_retraining()

    def retrain(self, *, factory: str | None = None) -> None:
        """Train the index again on the pictures it holds now; ids stay.

        An index that keeps codes only, such as IVF-PQ, gets its vectors from the
        cache, and what the cache lacks from the pictures.

        Parameters
        ----------
        factory : str, optional
            Another kind of index from now on.

        Raises
        ------
        LookalikeError
            If a vector can be had from neither.
        """
        with self._changing:
            state = self._state
            exact = state.index.keeps_vectors
            vectors = None if exact else self._exact_vectors(state.catalogue)
            index = state.index.copy()
            index.retrain(vectors, factory=factory)
            self._state = _State(index, state.catalogue)

    def compact(self) -> int:
        """Free the room of removed pictures (HNSW keeps them) and return how many."""
        with self._changing:
            return self.index.compact()

    # --- Saving ------------------------------------------------------------------

    def save(self, folder: str | os.PathLike) -> None:
        """Write the collection into a folder so that a crash cannot spoil it.

        At every moment `load` finds the collection that was saved before, or this
        one.  `utils.collection.bundles` describes the files.

        Parameters
        ----------
        folder : path
            Made if it does not exist.

        Raises
        ------
        OSError
            If the disk is full or not writable.
        """
        state = self._state
        facts, write = state.index.snapshot()
        header = {"build": bundles.new_build(), "pipeline": self.pipeline}

        def write_index(file: bundles.Tally) -> None:
            write(file)
            header["index_sha256"] = file.sha256  # ties the two files together

        def write_items(file: bundles.Tally) -> None:
            file.write(state.catalogue.dump(header))

        files = {INDEX_FILE: write_index, ITEMS_FILE: write_items}
        facts = {"pipeline": self.pipeline, "index": facts}
        bundles.write_bundle(folder, files, facts, build=header["build"])

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike,
        *,
        embedder: Embedder | None = None,
        root: str | os.PathLike | None = None,
        mmap: bool = False,
    ) -> "ImageSearch":
        """Read what `save` wrote; neither the pictures nor a network are needed.

        Parameters
        ----------
        folder : path
        embedder : Embedder, optional
            Default: `load_embedder()`, when the first query needs it.
        root : path, optional
            Where the collection's folder is now, if it has moved.  Pictures outside it
            are left out then: pass it for a bundle that somebody else made, too, which
            otherwise says itself where its pictures are.
        mmap : bool
            Leave the vectors in the file, for a collection that is large beside the
            memory or is searched by several processes: the system reads what a search
            touches.  The first change reads them into memory.  Save as usual.

        Returns
        -------
        search : ImageSearch
            Its `refused` names the pictures that were left out, with a warning: a link
            takes them out of the root, or `root` is given and they lie outside.

        Raises
        ------
        IndexFileError
            If a file is missing or damaged or belongs to another save, a path leads
            out of the root, or the embedder is another than the one that made the
            vectors.
        """
        openers = {INDEX_FILE: partial(load_index, mmap=True)} if mmap else {}
        bundle = bundles.read_bundle(folder, openers=openers)
        _check_parts(bundle)
        pipeline = bundle.facts["pipeline"]
        if embedder is not None and embedder.pipeline != pipeline:
            raise IndexFileError(
                f"{folder}: made by {pipeline}; received an embedder of "
                f"{embedder.pipeline}. Vectors of the two cannot be compared."
            )
        catalogue = _read_catalogue(bundle, root)
        index = _read_index(bundle, catalogue)
        search = cls(index, catalogue, pipeline=pipeline, embedder=embedder)
        search._leave_out(catalogue.strays(only_root=root is not None))
        return search

    # --- Inside ------------------------------------------------------------------

    def _bring_in(
        self, wanted: dict[Path, str | None], gone: list[int], *, progress: bool
    ) -> Changes:
        """Embed what is new or changed, then change everything in one step."""
        before = self._state.catalogue
        plan = plan_changes(wanted, before)
        # Loading the network takes seconds, and a removal needs none.
        embedder = self.embedder if plan.labels else None
        embedded = embed_files(list(plan.labels), embedder, progress=progress)
        labels = {path: self._label(path, label) for path, label in plan.labels.items()}
        new = _embedded_items(embedded, labels)
        keys = [*gone, *plan.outdated.values()]
        removed = {key: before.items[key].path for key in keys}
        self._commit(removed, plan.relabelled, new, embedded.vectors)

        replaced = {item.path for item in new} & plan.outdated.keys()
        relabelled = [item.path for item in plan.relabelled.values()]
        return Changes(
            [item.path for item in new if item.path not in replaced],
            [item.path for item in new if item.path in replaced] + relabelled,
            [path for path in removed.values() if path not in replaced],
            plan.unchanged,
            plan.refused + embedded.refused,
        )

    def _commit(
        self,
        gone: Iterable[int],
        relabelled: Mapping[int, Item],
        new: Sequence[Item],
        vectors: np.ndarray,
    ) -> None:
        """Change index and catalogue together, or neither."""
        index, catalogue = self._state
        if gone or new:
            if not new:
                vectors = np.empty((0, index.d), dtype=np.float32)
            index = index.copy()
            ids = index.replace(gone, vectors)
            relabelled = {**relabelled, **dict(zip(ids.tolist(), new, strict=True))}
        self._state = _State(index, catalogue.changed(gone, relabelled))

    def _label(self, path: Path, label: str | None) -> str:
        """Return the label asked for, or the one that is known, or the folder's."""
        catalogue = self._state.catalogue
        known = catalogue.find(path)
        if label is not None:
            return label
        if known is not None:
            return catalogue.items[known].label
        return catalogue.folder_label(path)

    def _out_of_sight(self, refused: list[Refusal]) -> set[int]:
        """Return the ids of pictures of which a scan cannot say that they are gone."""
        catalogue, kept = self._state.catalogue, set()
        for path, _ in refused:
            if os.path.isdir(path):  # a folder that cannot be listed
                kept.update(catalogue.below(path))
            key = catalogue.find(path)
            if key is not None and compare(catalogue.items[key])[0] in (
                "same",
                "unreadable",
            ):
                kept.add(key)
        return kept

    def _exact_vectors(self, catalogue: Catalogue) -> np.ndarray:
        """Return the vectors of all pictures, from the cache or computed again."""
        hashes = [item.sha256 for item in catalogue.items.values()]
        if not hashes:
            return np.empty((0, self.index.d), dtype=np.float32)
        with VectorCache() as cache:
            known = cache.get(self.pipeline, list(set(hashes)))
        items = catalogue.items.values()
        missing = [item.path for item in items if item.sha256 not in known]
        if missing:
            embedded = embed_files(missing, self.embedder)
            known |= dict(zip(embedded.sha256s, embedded.vectors, strict=True))
        lost = [item.path for item in items if item.sha256 not in known]
        if lost:
            raise LookalikeError(
                "expected a cached vector or an unchanged file for each picture. "
                f"{len(lost)} have neither; the first: {lost[0]}. Call "
                "update() to drop vanished and changed pictures, then retrain."
            )
        return np.stack([known[key] for key in hashes])

    def _leave_out(self, strays: list[int]) -> None:
        """Forget pictures that a bundle places where nothing may be opened."""
        if not strays:
            return
        reason = (
            f"lies outside the picture root, {printable(str(self.root))}, or a link "
            "leads there. It was left out unopened; add takes it in again, if you "
            "trust it."
        )
        gone = {key: self.path_of(key) for key in strays}
        self.refused += [Refusal(path, reason) for path in gone.values()]
        self._commit(gone, {}, [], np.empty((0, 0), np.float32))
        warnings.warn(
            f"{len(gone)} of {len(gone) + len(self)} pictures were left out, and are "
            "named in `refused`. The first: "
            f"{printable(str(self.refused[0].path))}: {reason}",
            RuntimeWarning,
            stacklevel=3,
        )


def show_hits(
    queries: Sequence[Any],
    hits: Sequence[list[Hit]],
    *,
    labels: Sequence[str] | None = None,
    size: int = 128,
) -> None:
    """Draw one row a query: the query, then its hits with label and score.

    Parameters
    ----------
    queries : sequence of path, bytes, PIL image or array
    hits : one list of Hit a query
    labels : sequence of str, optional
        The queries' labels: hits with another are marked as wrong.
    size : int
        Pixels of a drawn picture.
    """
    right = []
    if labels is not None:
        pairs = zip(labels, hits, strict=True)
        right = [[hit.label == label for hit in found] for label, found in pairs]
    missing: dict[Path, str] = {}
    tiles = [[_tile(hit.path, size, missing) for hit in found] for found in hits]
    plotting.show_results(
        [images.load_picture(query, size) for query in queries],
        tiles,
        query_titles=[f"query: {label}" for label in labels or ()],
        titles=[[_title(hit, missing) for hit in found] for found in hits],
        right=right,
    )
    if missing:
        path, reason = next(iter(missing.items()))
        warnings.warn(
            f"{len(missing)} pictures can't be shown; the first: "
            f"{printable(str(path))}: {reason}. If the pictures have moved, say where "
            "they are: ImageSearch.load(folder, root=...).",
            RuntimeWarning,
            stacklevel=2,
        )


def _title(hit: Hit, missing: Mapping[Path, str]) -> str:
    note = "\n(can't be shown)" if hit.path in missing else ""
    return f"{hit.label} {hit.score:.2f}{note}"


def _tile(path: Path, size: int, missing: dict[Path, str]) -> np.ndarray:
    """Return a picture, or a grey tile with a cross in its place."""
    try:
        return images.load_picture(path, size)
    except PictureError as error:
        missing[path] = error.reason
    cross = np.eye(size, dtype=bool) | np.eye(size, dtype=bool)[::-1]
    return np.where(cross, 160, 230).astype(np.uint8)[..., None].repeat(3, axis=2)


def _hits(
    similarities: np.ndarray,
    ids: np.ndarray,
    items: Mapping[int, Item],
    excluded: set[int],
) -> list[Hit]:
    pairs = zip(ids.tolist(), similarities.tolist(), strict=True)
    left = [(key, score) for key, score in pairs if key not in excluded]
    return [
        Hit(rank, key, items[key].path, items[key].label, score)
        for rank, (key, score) in enumerate(left, start=1)
    ]


def _labels_for(paths: Sequence[Any], labels: Sequence[str] | str) -> list[str]:
    """Return one label a path, or say what is wrong."""
    labels = [labels] * len(paths) if isinstance(labels, str) else list(labels)
    if len(labels) != len(paths):
        raise ValueError(
            f"expected {len(paths)} labels, one a path. Received: {len(labels)}."
        )
    for path, label in zip(paths, labels, strict=True):
        if not isinstance(label, str):  # it would be saved, and not load again
            raise ValueError(
                f"{printable(str(path))}: expected a label of type str. Received: "
                f"{label!r}. Convert it: str(label)."
            )
    return labels


def _embedded_items(embedded: EmbeddedFiles, labels: Mapping[Path, str]) -> list[Item]:
    """Return one item a row of `embedded`, which was made of `labels`' keys."""
    paths = list(labels)
    pairs = zip(embedded.positions, embedded.sha256s, strict=True)
    return [Item(paths[i], labels[paths[i]], sha256) for i, sha256 in pairs]


# --- Reading a bundle ------------------------------------------------------------


def _check_parts(bundle: bundles.Bundle) -> None:
    pipeline, index = (bundle.facts.get(key) for key in ("pipeline", "index"))
    good = isinstance(pipeline, str) and isinstance(index, dict)
    if not good or not {INDEX_FILE, ITEMS_FILE} <= bundle.files.keys():
        raise IndexFileError(
            f"{bundle.folder}: expected {INDEX_FILE}, {ITEMS_FILE} and "
            f"facts on both, as ImageSearch.save writes them. Received: "
            f"{sorted(bundle.files)}. Build the collection again and save it."
        )


def _read_catalogue(
    bundle: bundles.Bundle, root: str | os.PathLike | None
) -> Catalogue:
    """Read the pictures, and check that they belong to the index beside them."""
    name = str(bundle.folder / ITEMS_FILE)
    catalogue, header = Catalogue.parse(bundle.files[ITEMS_FILE], name, root=root)
    expected = {
        "build": bundle.build,
        "pipeline": bundle.facts["pipeline"],
        "index_sha256": bundle.hashes[INDEX_FILE],
    }
    for key, value in expected.items():
        if header.get(key) != value:
            raise IndexFileError(
                f"{name}: expected the {key} {value}, that of the index "
                f"beside it. Received {header.get(key)!r}: the two come from different "
                "saves. Build the collection again and save it."
            )
    return catalogue


def _read_index(bundle: bundles.Bundle, catalogue: Catalogue) -> VectorIndex:
    name = str(bundle.folder / INDEX_FILE)
    facts = bundle.facts["index"]
    index = VectorIndex.restore(bundle.files[INDEX_FILE], facts, name)
    if index.ids.tolist() != list(catalogue.items) or index.metric != "inner_product":
        raise IndexFileError(
            f"{name}: expected the {len(catalogue)} ids that {ITEMS_FILE} "
            f"names, by inner product. Received {len(index)} ids, by {index.metric}. "
            "Build the collection again and save it."
        )
    return index
