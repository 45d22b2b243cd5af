"""The query handler: a picture's bytes in, hits out, whichever door they come through.

The app in `utils.app.widgets`, a service and the tests all ask here, so no decision is made
in a callback or a route.

>>> handler = QueryHandler(search)                                # doctest: +SKIP
>>> handler.answer(data, Question(k=3, index="HNSW")).hits        # doctest: +SKIP
"""

import math
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from utils import images
from utils.collection.search import Hit, ImageSearch
from utils.collection.vector_index import VectorIndex
from utils.errors import LookalikeError, PictureError, printable
from utils.indexes import POINTS_PER_CELL, check_k

INDEXES = ("Flat", "IVF", "HNSW")
METRICS = {"cosine": "inner_product", "Euclidean": "l2"}
MAX_BYTES = 20_000_000  # a picture for a query; phones write 2 to 12 million
MAX_CELLS = 16
MAX_LABEL = 40  # characters
TIE = 1e-5  # scores nearer than this are the same to float32
REMEMBERED_VECTORS = 64
SUFFIXES = {
    b"\xff\xd8": ".jpg",
    b"\x89P": ".png",
    b"RI": ".webp",
    b"GI": ".gif",
    b"BM": ".bmp",
    b"II": ".tif",
    b"MM": ".tif",
}


@dataclass(frozen=True)
class Question:
    """What to ask of the collection, besides the picture.

    Parameters
    ----------
    k : int
        How many pictures to find.
    index : {"Flat", "IVF", "HNSW"}
        Flat is exact; the others may miss neighbours.
    nprobe : int
        How many cells of the IVF to look into; others ignore it.
    metric : {"cosine", "Euclidean"}
        What a hit's score is: a similarity (larger is nearer) or a distance (smaller
        is nearer).  On unit vectors both rank alike.
    label : str, optional
        Find pictures with this label only.

    Raises
    ------
    ValueError
        If one of them is none of these.
    """

    k: int = 5
    index: str = "Flat"
    nprobe: int = 4
    metric: str = "cosine"
    label: str | None = None

    def __post_init__(self) -> None:
        check_k(self.k)
        for name, value, known in (
            ("index", self.index, INDEXES),
            ("metric", self.metric, tuple(METRICS)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}. Received: {value!r}.")
        if self.nprobe < 1:
            raise ValueError(f"nprobe must be at least 1. Received: {self.nprobe}.")


DEFAULT = Question()


class Answer(NamedTuple):
    """What was found, and what it took.

    Attributes
    ----------
    hits : list of Hit
        Best first; `score` is in the question's metric.
    missed : list of Hit
        True neighbours among the first k that the index did not find, with their
        true ranks.  Empty for an exact index.
    embedding_seconds, search_seconds : float
        From bytes to vector, and from vector to hits.  The first is 0 where the
        vector was known.
    itself : int or None
        The id of the very same file, if the collection holds it.
    note : str
        What the reader should know, such as that an index is too small to train.
    """

    hits: list[Hit]
    missed: list[Hit]
    embedding_seconds: float
    search_seconds: float
    itself: int | None
    note: str


class QueryHandler:
    """Answer questions about pictures, and remember new ones.

    Indexes of other kinds are made from the collection's vectors when they are first
    asked for, and again after the collection has changed.

    Parameters
    ----------
    search : ImageSearch
        Its index must keep the vectors as they are, as Flat and HNSW do.
    keep_in : path, optional
        Folder for the pictures that `remember` writes; without one it refuses.
    max_bytes, max_pixels : int
        Larger pictures are refused before they are decoded.

    Raises
    ------
    ValueError
        If the index keeps codes only.
    """

    def __init__(
        self,
        search: ImageSearch,
        *,
        keep_in: str | Path | None = None,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = images.MAX_PIXELS,
    ) -> None:
        if not search.index.keeps_vectors:
            raise ValueError(
                "search must keep its vectors, to build other indexes from them. "
                f'Received: {search.index}. Make it with factory="Flat".'
            )
        self.search = search
        self.keep_in = None if keep_in is None else Path(keep_in)
        self.limits = {"max_bytes": max_bytes, "max_pixels": max_pixels}
        self._source: VectorIndex | None = None  # what the indexes were made from
        self._indexes: dict[tuple[str, str], VectorIndex] = {}
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def weights(self) -> str:
        """The name of the weights that make the vectors."""
        return self.search.embedder.weights

    @property
    def labels(self) -> list[str]:
        """The labels in the collection, sorted, without the empty one."""
        return sorted({label for label in self.search.labels if label})

    @property
    def cells(self) -> int:
        """How many cells the IVF has: the largest `nprobe` that makes sense."""
        return max(1, min(MAX_CELLS, len(self.search) // POINTS_PER_CELL))

    def answer(
        self, data: bytes, question: Question = DEFAULT, *, name: str = "the picture"
    ) -> Answer:
        """Find the pictures most like the one in these bytes.

        Parameters
        ----------
        data : bytes
            The content of a picture's file.  It is judged by content.
        question : Question
        name : str
            What to call the picture in an error; never opened, never a path.

        Returns
        -------
        answer : Answer

        Raises
        ------
        PictureError
            If the bytes are no picture that can be read, or too large a one.
        """
        start = perf_counter()
        digest = images.sha256_of(bytes(data))
        vector = self._vectors.get(digest)
        seconds = 0.0
        if vector is None:
            picture = images.open_picture(data, name=name, **self.limits)
            try:
                vector = self.search.embed(picture)
            except PictureError as error:  # it has seen pixels, not the name
                raise PictureError(name, error.reason) from error
            seconds = perf_counter() - start
            self._keep(digest, vector)
        items = self.search.items.items()
        itself = next((key for key, item in items if item.sha256 == digest), None)
        answer = self._find(vector, question, exclude=[])
        return answer._replace(embedding_seconds=seconds, itself=itself)

    def answer_id(self, key: int, question: Question = DEFAULT) -> Answer:
        """Find the pictures most like one of the collection, itself left out.

        Parameters
        ----------
        key : int
            The id of the picture, from a hit.
        question : Question

        Returns
        -------
        answer : Answer

        Raises
        ------
        KeyError
            If no picture has this id any more.
        """
        self.search.path_of(key)  # says which ids there are
        vector = self.search.index.reconstruct([key])[0]
        return self._find(vector, question, exclude=[key])._replace(itself=key)

    def read(self, path: str | Path) -> bytes:
        """Read the file at a path that somebody typed, within the limit.

        Raises
        ------
        PictureError
            If there is no such file, or it is no regular file, or too large.
        """
        path = Path(str(path).strip().strip("\"'")).expanduser()
        return images.read_file(path, max_bytes=self.limits["max_bytes"])

    def remember(self, data: bytes, label: str = "") -> Hit:
        """Add a picture to the collection, and keep its file in `keep_in`.

        Parameters
        ----------
        data : bytes
        label : str
            "" for none; at most 40 characters count.

        Returns
        -------
        hit : Hit
            The new picture, at rank 1 with score 1: it is its own nearest neighbour.

        Raises
        ------
        LookalikeError
            If there is no folder to keep it in, or the same file is in the collection
            already.
        PictureError
            If the bytes are no picture.
        """
        if self.keep_in is None:
            raise LookalikeError(
                "expected a folder to keep pictures in. Make the handler with "
                "QueryHandler(search, keep_in=...)."
            )
        images.open_picture(data, **self.limits)  # before anything is written
        digest = images.sha256_of(bytes(data))
        label = printable(" ".join(label.split()))[:MAX_LABEL]
        with self._lock:
            for key, item in self.search.items.items():
                if item.sha256 == digest:
                    raise LookalikeError(
                        f"This very file is in the collection already, as number {key} "
                        f"({item.path.name}). Nothing was added."
                    )
            self.keep_in.mkdir(parents=True, exist_ok=True)
            # Named after its content: no name that somebody chose becomes a path.
            path = self.keep_in / (digest[:16] + SUFFIXES.get(bytes(data[:2]), ".bin"))
            path.write_bytes(data)
            self.search.add([path], label)
            key = self.search.id_of(path)
        return Hit(1, key, path, label, 1.0)

    # --- Inside ------------------------------------------------------------------

    def _find(
        self, vector: np.ndarray, question: Question, *, exclude: Sequence[int]
    ) -> Answer:
        index, note = self._index(question.index, question.metric)
        start = perf_counter()
        hits = self._hits(index, vector, question, exclude)
        seconds = perf_counter() - start
        missed: list[Hit] = []
        if question.index != "Flat":
            exact, _ = self._index("Flat", question.metric)
            truth = self._hits(exact, vector, question, exclude)
            missed = _missed(truth, hits, larger=question.metric == "cosine")
        return Answer(hits, missed, 0.0, seconds, None, note)

    def _hits(
        self,
        index: VectorIndex,
        vector: np.ndarray,
        question: Question,
        exclude: Sequence[int],
    ) -> list[Hit]:
        items = self.search.items
        among = None
        if question.label is not None:
            known = (i for i in index.ids.tolist() if i in items)
            among = [i for i in known if items[i].label == question.label]
        index = index.copy()  # costs nothing, and nobody else sees our nprobe
        if index.nprobe:
            index.nprobe = min(question.nprobe, self.cells)
        k = question.k + len(exclude)
        (scores,), (ids,) = index.search(vector[None], k, among=among)
        if question.metric == "Euclidean":  # FAISS returns squares
            scores = np.sqrt(np.maximum(scores, 0))
        pairs = zip(ids.tolist(), scores.tolist(), strict=True)
        left = [(i, score) for i, score in pairs if i not in exclude and i in items]
        return [
            Hit(rank, i, items[i].path, items[i].label, score)
            for rank, (i, score) in enumerate(left[: question.k], start=1)
        ]

    def _index(self, name: str, metric: str) -> tuple[VectorIndex, str]:
        """Return an index of this kind over the collection as it is now, and a note."""
        factories = {"Flat": "Flat", "IVF": f"IVF{self.cells},Flat", "HNSW": "HNSW32"}
        with self._lock:
            if self._source is not self.search.index:  # the collection has changed
                self._source = self.search.index
                self._indexes.clear()
            if (name, metric) not in self._indexes:
                made = self._source.copy()
                made.metric = METRICS[metric]
                with warnings.catch_warnings():  # its `fallback` is our note
                    warnings.simplefilter("ignore", RuntimeWarning)
                    made.retrain(factory=factories[name])
                self._indexes[name, metric] = made
            made = self._indexes[name, metric]
        note = ""
        if made.fallback:
            note = f"{len(made)} pictures are too few for an IVF: Flat takes its place."
        return made, note

    def _keep(self, digest: str, vector: np.ndarray) -> None:
        """Keep the last vectors: another k must not cost another extraction."""
        with self._lock:
            self._vectors[digest] = vector
            while len(self._vectors) > REMEMBERED_VECTORS:
                self._vectors.popitem(last=False)


def _missed(truth: list[Hit], hits: list[Hit], *, larger: bool) -> list[Hit]:
    """Return the true neighbours that are nearer than the worst hit, yet not found."""
    found = {hit.id for hit in hits}
    worst = hits[-1].score if hits else (-math.inf if larger else math.inf)
    sign = 1 if larger else -1
    nearer = [hit for hit in truth if sign * (hit.score - worst) > TIE]
    return [hit for hit in nearer if hit.id not in found]
