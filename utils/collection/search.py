"""The façade: a folder of pictures in, the most similar ones out.

`ImageSearch` puts the siblings together: it alone knows pictures, vectors and ids.  In
its methods:

- `query` is a path, bytes, a PIL image or an array of shape (height, width, 3);
  PictureError if it is no picture that can be read.
- `factory` is a FAISS index factory string, of a kind that `VectorIndex` keeps.
- `embedder` is `load_embedder()`, unless another is given.
- `progress` shows a bar while the pictures are embedded.

>>> search = ImageSearch.from_folder("images")                    # doctest: +SKIP
>>> hits = search.search("images/mug/mug_0_5.jpg", k=5)           # doctest: +SKIP
>>> hits = search.search_text("something to drink from")          # doctest: +SKIP
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from utils import images
from utils.collection.cache import VectorCache
from utils.collection.catalogue import Catalogue, Item, absolute, common_folder
from utils.collection.changes import (
    Changes,
    compare,
    once_each,
    plan_changes,
    plan_update,
)
from utils.collection.extraction import (
    NO_DIRECTION,
    embed_files,
    exact_vectors,
    has_direction,
)
from utils.collection.hits import Hit, make_hits, show_hits
from utils.collection.kept import KeptCollection
from utils.collection.vector_index import VectorIndex
from utils.embeddings import Embedder, load_embedder, normalize
from utils.errors import LookalikeError, PictureError, check_k, printable
from utils.images import Collection, PicturePath, PictureSource, Refusal


class ImageSearch(KeptCollection):
    """A collection of pictures that can be searched by picture, changed and saved.

    Searches and changes may come from many threads: changes wait for each other, and
    a search sees the collection as it was before a change or after it.
    """

    def __repr__(self) -> str:
        labels = len(set(self.labels))
        return f"ImageSearch: {len(self)} pictures, {labels} labels, {self.pipeline}"

    # --- Making -------------------------------------------------------------------

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike,
        *,
        factory: str = "Flat",
        embedder: Embedder | None = None,
        progress: bool = False,
    ) -> "ImageSearch":
        """Index every picture below a folder; the names of its folders become labels.

        FileNotFoundError if there is no such folder; ValueError if no picture in it
        can be read.  Where some can, `refused` names the rest.
        """
        found = images.scan_folder(folder)
        if not len(found):
            raise ValueError(
                f"{printable(str(folder))}: expected pictures "
                f"({', '.join(sorted(images.PICTURE_SUFFIXES))}), found none that can "
                f"be read ({len(found.refused)} files refused)."
            )
        return cls.from_collection(
            found, root=folder, factory=factory, embedder=embedder, progress=progress
        )

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

        `root` is the collection's folder, which `update` looks through; the default is
        the smallest one that holds all the pictures.  ValueError if none can be read
        or there is not one label, a str, for each path.
        """
        if root is None and len(collection):
            root = common_folder(None, map(absolute, collection.paths))
        folder = absolute(root or os.curdir)
        wanted = once_each(collection.paths, collection.labels, folder)
        embedder = embedder or load_embedder()
        items, vectors, refused = _embed_items(wanted, embedder, progress=progress)
        if not items:
            refused += collection.refused
            why = [f"{printable(str(path))}: {reason}" for path, reason in refused]
            raise ValueError(
                f"expected pictures that can be read. Received {len(collection)}, of "
                f"which none can be. The first: {(why or ['there is none'])[0]}"
            )
        return cls(
            VectorIndex(vectors, factory),
            Catalogue({}, folder).changed([], dict(enumerate(items))),
            pipeline=embedder.pipeline,
            embedder=embedder,
            refused=[*collection.refused, *refused],
        )

    # --- Looking ------------------------------------------------------------------

    @property
    def paths(self) -> list[Path]:
        """The pictures by id: positions are ids until one is removed or replaced."""
        return [item.path for item in self.items.values()]

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the ids; "" where there is none."""
        return [item.label for item in self.items.values()]

    def id_of(self, path: str | os.PathLike) -> int:
        """Return the id of a picture; KeyError if it is not in the collection."""
        found = self._state.catalogue.find(path)
        if found is None:
            raise KeyError(
                f"{printable(str(path))} is not in this collection of {len(self)} "
                "pictures."
            )
        return found

    def path_of(self, id: int) -> Path:
        """Return the path of an id; KeyError if no picture has it, or has it now."""
        items = self.items
        if id not in items:
            raise KeyError(f"No picture of these {len(items)} has the id {id}.")
        return items[id].path

    def show(
        self, query: PictureSource, hits: list[Hit], *, label: str | None = None
    ) -> None:
        """Draw a query and its hits in a row; see `show_hits`."""
        show_hits([query], [hits], labels=None if label is None else [label])

    def check(self) -> list[Refusal]:
        """Return the pictures that are missing, unreadable or changed, and why."""
        compared = [(item.path, *compare(item)) for item in self.items.values()]
        return [Refusal(path, why) for path, state, why in compared if state != "same"]

    # --- Searching ----------------------------------------------------------------

    def embed(self, query: PictureSource) -> np.ndarray:
        """Return a query's unit vector, made as the collection's: float32, shape (d,).

        The vector of a file (or of bytes) comes from the vector cache if it is known
        there, which needs no network, and is kept there if it is not.  PictureError
        also where the network sees nothing in the picture.
        """
        name = images.name_of(query)
        if isinstance(query, str | os.PathLike):
            query = images.read_file(query)
        if not isinstance(query, bytes):
            return self.look_at(query, name=name)
        sha256 = images.sha256_of(query)
        with VectorCache() as cache:
            vector = cache.get(self.pipeline, [sha256]).get(sha256)
            if vector is None:
                vector = self.look_at(query, name=name)
                cache.put(self.pipeline, [sha256], vector[None])
        return _seen(vector, name)

    def look_at(self, query: PictureSource, **limits: Any) -> np.ndarray:
        """Return a query's vector from the network itself, and keep it nowhere.

        `limits` are those of `utils.images`.  Otherwise like `embed`.
        """
        pixels = images.load_picture(query, self.embedder.input_size, **limits)
        vector = self.embedder.embed(pixels[None])[0]
        return _seen(vector, limits.get("name") or images.name_of(query))

    def search(
        self, query: PictureSource, k: int = 5, *, exclude: Iterable[int] = ()
    ) -> list[Hit]:
        """Find the k most similar pictures, best first; fewer if there are no more.

        `exclude` are ids to leave out, such as the query's own (`id_of`).
        """
        return self._nearest(self.embed(query), k, exclude)

    def embed_text(self, text: str) -> np.ndarray:
        """Return a text's unit vector, to compare with pictures': float32, shape (d,).

        LookalikeError if the embedder takes no words, TextError if it can't take these.
        """
        embed = getattr(self.embedder, "embed_text", None)
        if embed is None:
            raise LookalikeError(
                f"expected an embedder that takes words. Received: {self.embedder}. "
                "Make the collection with utils.beyond.words.load_words()."
            )
        return embed([text])[0]

    def search_text(
        self,
        text: str,
        k: int = 5,
        *,
        like: PictureSource | None = None,
        weight: float = 0.5,
        exclude: Iterable[int] = (),
    ) -> list[Hit]:
        """Find the k pictures that fit a text best; errors as `embed_text`.

        `like` is a picture that they should resemble, too: `weight` is the text's share
        of the query, from 0 (the picture alone) to 1.
        """
        vector = self.embed_text(text)
        if like is not None:
            vector = mix(self.embed(like), vector, weight)
        return self._nearest(vector, k, exclude)

    def _nearest(self, vector: np.ndarray, k: int, exclude: Iterable[int]) -> list[Hit]:
        k, excluded, state = check_k(k), set(exclude), self._state
        (scores,), (ids,) = state.index.search(vector[None], k + len(excluded))
        return make_hits(scores, ids, state.catalogue.items, exclude=excluded, k=k)

    # --- Changing -----------------------------------------------------------------

    def add(
        self,
        paths: Iterable[PicturePath] | PicturePath,
        labels: Sequence[str] | str | None = None,
        *,
        progress: bool = False,
    ) -> Changes:
        """Add pictures; those that are known already are brought up to date.

        A picture whose content has changed is another one to the index: it gets a new
        id, and the old id is gone for good.  Files that cannot be read are reported
        and left out; on any error nothing has changed.

        `labels` are one for each path (ValueError if not) or one for all.  Without
        them a known picture keeps its label; a new one gets the name of the first
        folder below `root` on its path, or "" if it lies outside.
        """
        paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        given = once_each(paths, "" if labels is None else labels, self.root)
        wanted = dict.fromkeys(given) if labels is None else given
        with self._changing:
            return self._bring_in(wanted, [], progress=progress)

    def remove(self, ids: Iterable[int | PicturePath] | int | PicturePath) -> Changes:
        """Remove pictures, named by id or path; the files are left alone.

        KeyError if one of them is not in the collection; then none is removed.
        """
        if isinstance(ids, int | np.integer | str | os.PathLike):
            ids = [ids]
        with self._changing:
            named = [
                self.id_of(i) if isinstance(i, str | os.PathLike) else i for i in ids
            ]
            # Looked up as they are: 2.7 is not the picture 2.
            paths = [self.path_of(id) for id in named]
            gone = dict(zip(map(int, named), paths, strict=True))
            self._commit(gone)
        return Changes([], [], list(gone.values()), [], [])

    def update(
        self, folder: str | os.PathLike | None = None, *, progress: bool = False
    ) -> Changes:
        """Make the collection agree with a folder, `root` by default.

        Finds new, changed and vanished files, by content: those that have not changed
        cost one reading and no computing.  Pictures outside the folder are left alone,
        and so are those that cannot be looked at just now (no permission, a disk that
        is off).  FileNotFoundError if there is no such folder; ValueError if no
        picture is left in it: more likely the wrong folder, or a disk not mounted.
        """
        with self._changing:
            catalogue = self._state.catalogue
            folder = catalogue.root if folder is None else folder
            found = images.scan_folder(folder)
            wanted, gone = plan_update(found, folder, catalogue)
            changes = self._bring_in(wanted, gone, progress=progress)
        return changes._replace(refused=[*found.refused, *changes.refused])

    def retrain(self, *, factory: str | None = None) -> None:
        """Train the index again on the pictures it holds now; ids stay.

        An index that keeps codes only, such as IVF-PQ, gets its vectors from the
        cache, and what the cache lacks from the pictures; LookalikeError if a vector
        can be had from neither.  `index.needs_retraining` says whether it would help.
        """
        with self._changing:
            items, vectors = list(self.items.values()), None
            if items and not self.index.keeps_vectors:
                vectors = exact_vectors(items, self.pipeline, lambda: self.embedder)
            index = self.index.rebuilt(vectors=vectors, factory=factory)
            self._state = replace(self._state, index=index)

    # --- Inside -------------------------------------------------------------------

    def _bring_in(
        self, wanted: Mapping[Path, str | None], gone: list[int], *, progress: bool
    ) -> Changes:
        """Embed what is new or changed, then change everything in one step."""
        before = self._state.catalogue
        plan = plan_changes(wanted, before)
        # Loading the network takes seconds, and a removal needs none.
        embedder = self.embedder if plan.labels else None
        new, vectors, refused = _embed_items(plan.labels, embedder, progress=progress)
        gone = [*gone, *plan.outdated.values()]
        removed = [before.items[id].path for id in gone]
        self._commit(gone, plan.relabelled, new, vectors)

        replaced = {item.path for item in new} & plan.outdated.keys()
        relabelled = [item.path for item in plan.relabelled.values()]
        return Changes(
            [item.path for item in new if item.path not in replaced],
            [item.path for item in new if item.path in replaced] + relabelled,
            [path for path in removed if path not in replaced],
            plan.unchanged,
            plan.refused + refused,
        )


def _embed_items(
    labels: Mapping[Path, str], embedder: Embedder | None, *, progress: bool
) -> tuple[list[Item], np.ndarray, list[Refusal]]:
    """Embed the pictures that have labels here: an item for each row of vectors."""
    paths = list(labels)
    vectors, positions, refused, sha256s = embed_files(
        paths, embedder, progress=progress
    )
    embedded = zip([paths[i] for i in positions], sha256s, strict=True)
    items = [Item(path, labels[path], sha256) for path, sha256 in embedded]
    return items, vectors, refused


def mix(picture: np.ndarray, text: np.ndarray, weight: float) -> np.ndarray:
    """Return the unit vector between two, nearer to the text the larger its weight."""
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must be from 0 to 1. Received: {weight!r}.")
    return normalize(((1 - weight) * picture + weight * text)[None])[0]


def _seen(vector: np.ndarray, name: str) -> np.ndarray:
    if not has_direction(vector):
        raise PictureError(name, NO_DIRECTION)
    return vector
