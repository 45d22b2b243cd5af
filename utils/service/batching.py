"""An embedder that lets requests at the same time share a forward pass.

A network takes little longer for eight pictures than for one.  `BatchingEmbedder` has
one thread that owns the network: it takes what waits, up to `batch_size` pictures, and
sends all of it through at once.  To its callers it is an embedder like any other, so
the query handler behind it knows nothing of batches.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import perf_counter

import numpy as np

from utils.embeddings import Embedder

Waiting = tuple[np.ndarray, "Future[np.ndarray]"]


class BatchingEmbedder:
    """Embed for many threads at once, in shared batches.

    The first picture of a batch waits at most `wait` seconds for others; with none on
    their way it goes alone.  `on_batch` is told how many pictures shared each pass.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        batch_size: int = 16,
        wait: float = 0.003,
        on_batch: Callable[[int], None] = lambda n: None,
    ) -> None:
        self.network, self.weights = embedder.network, embedder.weights
        self.input_size, self.pipeline = embedder.input_size, embedder.pipeline
        if hasattr(embedder, "embed_text"):  # words are quick, and need no batch
            self.embed_text = embedder.embed_text
        self._embedder = embedder
        self._batch_size, self._wait, self._on_batch = batch_size, wait, on_batch
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def embed(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return one unit vector per picture, as the embedder behind it would."""
        if len(images) > self._batch_size:
            return self._embedder.embed(images, batch_size=batch_size)
        vectors: Future[np.ndarray] = Future()
        self._waiting.put((images, vectors))
        return vectors.result()

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._waiting.put(None)
        self._worker.join()

    def _work(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._collect()
            if batch:
                self._embed(batch)

    def _collect(self) -> tuple[list[Waiting], bool]:
        """Return what shares the next pass, and whether there may be more after it."""
        batch: list[Waiting] = []
        pictures, end = 0, 0.0
        while pictures < self._batch_size:
            try:
                left = max(0.0, end - perf_counter()) if batch else None
                waiting = self._waiting.get(timeout=left)
            except queue.Empty:
                break
            if waiting is None:
                return batch, False
            end = end or perf_counter() + self._wait
            batch.append(waiting)
            pictures += len(waiting[0])
        return batch, True

    def _embed(self, batch: list[Waiting]) -> None:
        """Send a batch through; what went wrong reaches those who wait for it."""
        try:
            images = np.concatenate([images for images, _ in batch])
            self._on_batch(len(images))
            vectors = self._embedder.embed(images, batch_size=len(images))
        except BaseException as error:
            if len(batch) > 1:  # one bad picture never stops the others
                for waiting in batch:
                    self._embed([waiting])
            else:
                batch[0][1].set_exception(error)
            return
        ends = np.cumsum([len(images) for images, _ in batch])[:-1]
        for (_, future), own in zip(batch, np.split(vectors, ends), strict=True):
            future.set_result(own)
