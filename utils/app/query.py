"""The query handler: a picture's bytes in, hits out, whichever door they come through.

The app in `utils.app.widgets`, a service and the tests all ask here, so no decision is
made in a callback or a route.

A query's vector is that of the picture, or of a part of it; then words are mixed in;
then it moves towards what is liked and away from what is not (`refine`).

>>> handler = QueryHandler(search)                                # doctest: +SKIP
>>> handler.answer(data, Question(k=3, index="HNSW")).hits        # doctest: +SKIP
"""

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from utils import images
from utils.collection.folders import clean_path
from utils.collection.hits import Hit, make_hits
from utils.collection.search import ImageSearch, mix
from utils.collection.vector_index import VectorIndex
from utils.embeddings import normalize
from utils.errors import LookalikeError, PictureError, check_k, expanded, printable
from utils.indexes import POINTS_PER_CELL

INDEXES = ("Flat", "IVF", "HNSW")
SCORES = {"cosine": "inner_product", "Euclidean": "l2"}  # and FAISS's metric for each
MAX_BYTES = 20_000_000  # a picture for a query; phones write 2 to 12 million
MAX_CELLS = 16
MAX_LABEL = 40  # characters
MIN_SIDE = 16  # pixels of a part; with fewer the network sees a blur
NEARLY_SAME = 0.9  # cosine of two pictures of one thing; see `Question.fold`
# Rocchio's weights of the query, the liked and the disliked pictures.
ALPHA, BETA, GAMMA = 1.0, 0.75, 0.25
TIE = 1e-5  # scores nearer than this are the same to float32
REMEMBERED_VECTORS = 64
SUFFIX_BY_FIRST_BYTES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}
SUFFIX_BY_FIRST_BYTES |= {b"GI": ".gif", b"BM": ".bmp", b"II": ".tif", b"MM": ".tif"}

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Question:
    """What to ask of the collection, besides the picture; ValueError if it can't be.

    `box` is the part of the picture to search for, in shares of the width and height
    of the upright picture: (0, 0, 0.5, 1) is its left half.

    Words are mixed with the picture, or asked alone (`QueryHandler.answer_words`).
    `liked` and `disliked` are ids; those that have gone meanwhile count no more.

    With `fold`, pictures that are nearly the same (a cosine of `NEARLY_SAME` or more)
    take one place among the k: see `Answer.folded`.

    `metric` says what a hit's score is: "cosine", a similarity (larger is nearer), or
    "Euclidean", a distance (smaller is nearer).  On unit vectors both rank alike.
    """

    k: int = 5
    index: str = "Flat"  # exact; "IVF" and "HNSW" may miss neighbours
    nprobe: int = 4  # cells of the IVF to look into; the others ignore it
    metric: str = "cosine"
    labels: tuple[str, ...] = ()  # find pictures with one of these only
    words: str = ""  # what the pictures should show, if the embedder takes words
    weight: float = 0.5  # share of the words beside a picture, 0 to 1
    box: Box | None = None  # the whole picture
    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()
    fold: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must be 0 to 1. Received: {self.weight!r}.")
        check_k(self.k)
        check_k(self.nprobe, "nprobe")
        for name, known in (("index", INDEXES), ("metric", tuple(SCORES))):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be one of {known}. Received: {value!r}.")
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError(
                    "box must be left < right and top < bottom, each from 0 to 1. "
                    f"Received: {self.box!r}."
                )
        if both := set(self.liked) & set(self.disliked):
            raise ValueError(f"liked and disliked must differ. Both have: {both}.")


DEFAULT = Question()


def refine(vector: np.ndarray, liked: np.ndarray, disliked: np.ndarray) -> np.ndarray:
    """Move a query towards what is liked and away from what is not: a unit vector.

    `vector` has shape (d,), the others (n, d) and (m, d): none at all is fine.
    LookalikeError if they cancel each other out.

    References
    ----------
    Rocchio, *Relevance feedback in information retrieval*, 1971.
    """
    moved = ALPHA * vector
    if len(liked):
        moved = moved + BETA * liked.mean(axis=0)
    if len(disliked):
        moved = moved - GAMMA * disliked.mean(axis=0)
    if np.linalg.norm(moved) < TIE:
        raise LookalikeError(
            "Nothing is left to search for: what you like and what you don't cancel "
            "each other out. Take back one of your choices."
        )
    return normalize(moved[None])[0]


class Answer(NamedTuple):
    """What was found, and what it took.

    Folding changes no rank: where the second picture is nearly the same as the first,
    `hits` has the ranks 1, 3, 4 …, and `folded` has the second under the first's id.
    It has those that were met on the way to k hits; there may be more farther down.
    """

    hits: list[Hit]  # best first; their score is in the question's metric
    folded: dict[int, list[Hit]]  # by a hit's id, the pictures folded behind it
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
        self._vectors: OrderedDict[tuple[str, Box | None], np.ndarray] = OrderedDict()
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
        data = _bytes_of(data, name)
        key = images.sha256_of(data), question.box
        vector, seconds = self._look_at(data, key, name=name, **self.limits)
        answer = self._find(vector, question)._replace(embedding_seconds=seconds)
        return answer._replace(itself=self._id_of_content(key[0]))

    def answer_id(self, id: int, question: Question = DEFAULT) -> Answer:
        """Find the pictures most like one of the collection, itself left out.

        KeyError if no picture has this id (any more).  A part of it is cut out of its
        file: PictureError if that can't be read.
        """
        path, seconds = self.search.path_of(id), 0.0  # says which ids there are
        if question.box is None:
            vector = self.search.index.reconstruct([id])[0]
        else:
            data = images.read_file(path)
            key = images.sha256_of(data), question.box
            vector, seconds = self._look_at(data, key, name=path.name)
        answer = self._find(vector, question, exclude=[id])
        return answer._replace(itself=id, embedding_seconds=seconds)

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

    def _look_at(
        self, data: bytes, key: tuple[str, Box | None], **limits: Any
    ) -> tuple[np.ndarray, float]:
        """Return the vector of a picture or a part of it, and the seconds it took.

        `key` is the data's sha256, and the part.
        """
        start, box = perf_counter(), key[1]
        if (vector := self._vectors.get(key)) is not None:
            return vector, 0.0
        if box is None:
            vector = self.search.look_at(data, **limits)
        else:
            part = _cut(data, box, self.search.embedder.input_size, **limits)
            vector = self.search.look_at(part, name=limits["name"])
        seconds = perf_counter() - start
        with self._lock:  # another k must not cost another extraction
            self._vectors[key] = vector
            while len(self._vectors) > REMEMBERED_VECTORS:
                self._vectors.popitem(last=False)
        return vector, seconds

    def _vectors_of(self, ids: Sequence[int]) -> np.ndarray:
        """Return the vectors of those ids that are still in the collection."""
        index, items = self.search.index, self.search.items
        return index.reconstruct(id for id in ids if id in items)

    def _find(
        self, vector: np.ndarray, question: Question, exclude: Sequence[int] = ()
    ) -> Answer:
        index, note = self._index(question.index, question.metric)
        if question.words:
            text = self.search.embed_text(question.words)
            vector = mix(vector, text, question.weight)
        if question.liked or question.disliked:
            marked = (question.liked, question.disliked)
            vector = refine(vector, *map(self._vectors_of, marked))
        start = perf_counter()
        hits, folded = self._folded(index, vector, question, exclude)
        seconds = perf_counter() - start
        missed: list[Hit] = []
        if question.index != "Flat":
            exact, _ = self._index("Flat", question.metric)
            found = [*hits, *chain(*folded.values())]
            asked = replace(question, k=max(question.k, len(found)))
            truth = self._hits(exact, vector, asked, exclude)
            missed = _missed(truth, found, larger=question.metric == "cosine")
        return Answer(hits, folded, missed, 0.0, seconds, None, note)

    def _folded(
        self,
        index: VectorIndex,
        vector: np.ndarray,
        question: Question,
        exclude: Sequence[int],
    ) -> tuple[list[Hit], dict[int, list[Hit]]]:
        """Return k hits, if there are so many, and what is folded behind them."""
        if not question.fold:
            return self._hits(index, vector, question, exclude), {}
        asked = question
        while True:
            found = self._hits(index, vector, asked, exclude)
            vectors = index.reconstruct(hit.id for hit in found)
            hits, folded = _fold(found, vectors, question.k)
            if len(hits) == question.k or len(found) < asked.k:
                return hits, folded
            asked = replace(asked, k=2 * asked.k)  # folding made room for others

    def _hits(
        self,
        index: VectorIndex,
        vector: np.ndarray,
        question: Question,
        exclude: Sequence[int],
    ) -> list[Hit]:
        items, among = self.search.items, None
        if question.labels:
            known = (id for id in index.ids.tolist() if id in items)
            among = [id for id in known if items[id].label in question.labels]
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
    found, sign = {hit.id for hit in hits}, 1 if larger else -1
    worst = min((sign * hit.score for hit in hits), default=-math.inf)
    nearer = [hit for hit in truth if sign * hit.score - worst > TIE]
    return [hit for hit in nearer if hit.id not in found]


def _fold(
    found: list[Hit], vectors: np.ndarray, k: int
) -> tuple[list[Hit], dict[int, list[Hit]]]:
    """Return the first k that differ, and the others by the id of the one before."""
    hits: list[Hit] = []
    rows: list[int] = []
    folded: dict[int, list[Hit]] = {}
    for row, hit in enumerate(found):
        alike = vectors[rows] @ vectors[row] >= NEARLY_SAME
        if alike.any():
            folded.setdefault(hits[alike.argmax()].id, []).append(hit)
        elif len(hits) == k:
            break
        else:
            hits.append(hit)
            rows.append(row)
    return hits, folded


def _cut(data: bytes, box: Box, size: int, *, name: str, **limits: Any) -> Any:
    """Return a part of a picture as a PIL image, large enough for the network."""
    left, top, right, bottom = box
    # As `load_picture` does: a large JPEG need not be decoded whole.
    enough = math.ceil(3 * size / min(right - left, bottom - top))
    image = images.open_picture(data, name=name, enough=enough, **limits)
    w, h = image.size
    part = image.crop(
        (round(left * w), round(top * h), round(right * w), round(bottom * h))
    )
    if min(part.size) < MIN_SIDE:
        raise PictureError(
            name,
            f"the part to search for has {part.width}×{part.height} pixels, too few "
            f"to see what it shows. Choose at least {MIN_SIDE} a side.",
        )
    return part
