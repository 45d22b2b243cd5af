"""The query handler: a picture's bytes in, hits out, whichever door they come through.

The app in `utils.app.widgets`, a service and the tests all ask here, so no decision is
made in a callback or a route.

>>> handler = QueryHandler(search)                                # doctest: +SKIP
>>> handler.answer(data, Question(k=3, index="HNSW")).hits        # doctest: +SKIP
"""

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from utils import images
from utils.collection.folders import clean_path
from utils.collection.hits import Hit, make_hits
from utils.collection.search import ImageSearch, mix
from utils.collection.vector_index import VectorIndex
from utils.errors import LookalikeError, PictureError, check_k, expanded, printable
from utils.indexes import POINTS_PER_CELL

INDEXES = ("Flat", "IVF", "HNSW")
SCORES = {"cosine": "inner_product", "Euclidean": "l2"}  # and FAISS's metric for each
MAX_BYTES = 20_000_000  # a picture for a query; phones write 2 to 12 million
MAX_CELLS = 16
MAX_LABEL = 40  # characters
TIE = 1e-5  # scores nearer than this are the same to float32
REMEMBERED_VECTORS = 64
SUFFIX_BY_FIRST_BYTES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}
SUFFIX_BY_FIRST_BYTES |= {b"GI": ".gif", b"BM": ".bmp", b"II": ".tif", b"MM": ".tif"}


@dataclass(frozen=True)
class Question:
    """What to ask of the collection, besides the picture; ValueError if it can't be.

    Words are mixed with the picture, or asked alone (`QueryHandler.answer_words`).

    `metric` says what a hit's score is: "cosine", a similarity (larger is nearer), or
    "Euclidean", a distance (smaller is nearer).  On unit vectors both rank alike.
    """

    k: int = 5
    index: str = "Flat"  # exact; "IVF" and "HNSW" may miss neighbours
    nprobe: int = 4  # cells of the IVF to look into; the others ignore it
    metric: str = "cosine"
    label: str | None = None  # find pictures with this label only
    words: str = ""  # what the pictures should show, if the embedder takes words
    weight: float = 0.5  # share of the words beside a picture, 0 to 1

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be 0 to 1. Received: {self.weight!r}.")
        check_k(self.k)
        check_k(self.nprobe, "nprobe")
        for name, known in (("index", INDEXES), ("metric", tuple(SCORES))):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {known}. Received: {value!r}.")


DEFAULT = Question()


class Answer(NamedTuple):
    """What was found, and what it took."""

    hits: list[Hit]  # best first; their score is in the question's metric
    missed: list[Hit]  # of the true first k, with true ranks: what the index lost
    embedding_seconds: float  # from bytes to vector; 0 where the vector was known
    search_seconds: float  # from vector to hits
    itself: int | None  # the id of the very same file, if the collection holds it
    note: str  # such as that there are too few pictures for an IVF


class QueryHandler:
    """Answer questions about pictures, and remember new ones.

    Indexes of other kinds are made from the collection's vectors when they are first
    asked for, and again after the collection has changed.

    The index of `search` must keep the vectors as they are, as Flat and HNSW do;
    ValueError if it keeps codes only.  `keep_in` is the folder for the pictures that
    `remember` writes; without one it refuses.  Pictures of more than `max_bytes` or
    `max_pixels` are refused before they are decoded.
    """

    def __init__(
        self,
        search: ImageSearch,
        *,
        keep_in: str | os.PathLike | None = None,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = images.MAX_PIXELS,
    ) -> None:
        if not search.index.keeps_vectors:
            raise ValueError(
                "search must keep its vectors, to build other indexes from them. "
                f'Received: {search.index}. Make it with factory="Flat".'
            )
        self.search = search
        self.keep_in = None if keep_in is None else Path(expanded(keep_in))
        self.limits: dict[str, Any] = {"max_bytes": max_bytes, "max_pixels": max_pixels}
        self._source: VectorIndex | None = None  # what the indexes were made from
        self._indexes: dict[tuple[str, str], VectorIndex] = {}
        # In memory and not in the vector cache: uploads leave nothing on the disk.
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def network(self) -> str:
        """The network and the weights that make the vectors, in words."""
        embedder = self.search.embedder
        return f"{embedder.network} with {embedder.weights} weights"

    @property
    def takes_words(self) -> bool:
        """Whether questions may have words."""
        return hasattr(self.search.embedder, "embed_text")

    @property
    def labels(self) -> list[str]:
        """The labels in the collection, sorted, without the empty one."""
        return sorted({label for label in self.search.labels if label})

    @property
    def cells(self) -> int:
        """How many cells the IVF has: the largest `nprobe` that makes sense."""
        return _cells(len(self.search))

    def answer(
        self, data: bytes, question: Question = DEFAULT, *, name: str = "the picture"
    ) -> Answer:
        """Find the pictures most like the one whose file has these bytes.

        PictureError if they are no picture that can be read, or too large a one; it
        calls the picture `name`, which is never opened and never a path.
        """
        start = perf_counter()
        data = _bytes_of(data, name)
        sha256 = images.sha256_of(data)
        vector, seconds = self._vectors.get(sha256), 0.0
        if vector is None:
            vector = self.search.look_at(data, name=name, **self.limits)
            seconds = perf_counter() - start
            with self._lock:  # another k must not cost another extraction
                self._vectors[sha256] = vector
                while len(self._vectors) > REMEMBERED_VECTORS:
                    self._vectors.popitem(last=False)
        answer = self._find(vector, question)._replace(embedding_seconds=seconds)
        return answer._replace(itself=self._id_of_content(sha256))

    def answer_id(self, id: int, question: Question = DEFAULT) -> Answer:
        """Find the pictures most like one of the collection, itself left out.

        KeyError if no picture has this id (any more).
        """
        self.search.path_of(id)  # says which ids there are
        vector = self.search.index.reconstruct([id])[0]
        return self._find(vector, question, exclude=[id])._replace(itself=id)

    def answer_words(self, question: Question) -> Answer:
        """Find the pictures that fit the question's words best.

        TextError if it has none that can be searched with, LookalikeError if the
        embedder takes no words.
        """
        start = perf_counter()
        vector = self.search.embed_text(question.words)
        seconds = perf_counter() - start
        answer = self._find(vector, replace(question, words=""))
        return answer._replace(embedding_seconds=seconds)

    def read(self, path: str | os.PathLike) -> bytes:
        """Read the file at a path that somebody typed, or say why not."""
        return images.read_file(clean_path(path), max_bytes=self.limits["max_bytes"])

    def remember(self, data: bytes, label: str = "") -> Hit:
        """Add a picture to the collection, and keep its file in `keep_in`.

        At most 40 characters of the label count.  The hit is the new picture, which is
        its own nearest neighbour.  LookalikeError if there is no folder to keep it in,
        or the same file is in the collection already; PictureError if it is none.
        """
        if self.keep_in is None:
            raise LookalikeError(
                "expected a folder to keep pictures in. Make the handler with "
                "QueryHandler(search, keep_in=...)."
            )
        data = _bytes_of(data, "the picture")
        size = self.search.embedder.input_size
        images.load_picture(data, size, **self.limits)  # before anything is written
        sha256 = images.sha256_of(data)
        label = printable(" ".join(label.split()))[:MAX_LABEL]
        with self._lock:
            known = self._id_of_content(sha256)
            if known is not None:
                raise LookalikeError(
                    f"This very file is in the collection already, as number {known} "
                    f"({self.search.path_of(known).name}). Nothing was added."
                )
            self.keep_in.mkdir(parents=True, exist_ok=True)
            # Named after its content: no name that somebody chose becomes a path.
            path = self.keep_in / (sha256[:16] + SUFFIX_BY_FIRST_BYTES[data[:2]])
            path.write_bytes(data)
            refused = self.search.add([path], label).refused
            if refused:  # such as a picture in which the network sees nothing
                path.unlink()
                raise PictureError("the picture", refused[0].reason)
            return Hit(1, self.search.id_of(path), path, label, 1.0)

    # --- Inside ------------------------------------------------------------------

    def _id_of_content(self, sha256: str) -> int | None:
        items = self.search.items.items()
        return next((id for id, item in items if item.sha256 == sha256), None)

    def _find(
        self, vector: np.ndarray, question: Question, exclude: Sequence[int] = ()
    ) -> Answer:
        index, note = self._index(question.index, question.metric)
        if question.words:
            text = self.search.embed_text(question.words)
            vector = mix(vector, text, question.weight)
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
        items, among = self.search.items, None
        if question.label is not None:
            known = (id for id in index.ids.tolist() if id in items)
            among = [id for id in known if items[id].label == question.label]
        index = index.copy()  # costs nothing, and nobody else sees our nprobe
        if index.nprobe:
            index.nprobe = min(question.nprobe, len(index.cell_sizes))
        k = question.k + len(exclude)
        (scores,), (ids,) = index.search(vector[None], k, among=among)
        if question.metric == "Euclidean":  # FAISS returns squares
            scores = np.sqrt(np.maximum(scores, 0))
        return make_hits(scores, ids, items, exclude=exclude, k=question.k)

    def _index(self, kind: str, metric: str) -> tuple[VectorIndex, str]:
        """Return an index of this kind over the collection as it is now, and a note."""
        source, note = self.search.index, ""
        if kind == "IVF" and len(source) < POINTS_PER_CELL:
            note = (
                f"{len(source)} pictures are too few for an IVF: Flat takes its place."
            )
            kind = "Flat"
        factories = {"IVF": f"IVF{_cells(len(source))},Flat", "HNSW": "HNSW32"}
        with self._lock:
            if self._source is not source:  # the collection has changed
                self._source = source
                self._indexes.clear()
            if (kind, metric) not in self._indexes:
                self._indexes[kind, metric] = source.rebuilt(
                    factory=factories.get(kind, kind), metric=SCORES[metric]
                )
            return self._indexes[kind, metric], note


def _bytes_of(data: object, name: str) -> bytes:
    """Return a file's bytes; a str or a number, which `bytes` would take, is none."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise PictureError(
            name,
            f"expected the bytes of a picture's file. Received: {type(data).__name__}. "
            "For a path, pass handler.read(path).",
        )
    return bytes(data)


def _cells(n: int) -> int:
    """Return how many cells an IVF of n pictures has."""
    return max(1, min(MAX_CELLS, n // POINTS_PER_CELL))


def _missed(truth: list[Hit], hits: list[Hit], *, larger: bool) -> list[Hit]:
    """Return the true neighbours that are nearer than the worst hit, yet not found."""
    found = {hit.id for hit in hits}
    worst = hits[-1].score if hits else (-math.inf if larger else math.inf)
    sign = 1 if larger else -1
    nearer = [hit for hit in truth if sign * (hit.score - worst) > TIE]
    return [hit for hit in nearer if hit.id not in found]
