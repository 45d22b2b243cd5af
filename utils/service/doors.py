"""The collection that is served: how it is opened, changed, saved, and renewed.

With a token the service is the collection's only writer: each change is in the journal
before it is answered, and saved when the service ends.  Without one it only reads, and
takes over every newer save, while questions that came before are answered by the old.
"""

import logging
import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from utils import images
from utils.app.query import QueryHandler
from utils.beyond.restore import restore_embedder
from utils.collection.catalogue import Item
from utils.collection.collection_store import version_in
from utils.collection.hits import Hit
from utils.collection.search import ImageSearch
from utils.embeddings import Embedder
from utils.errors import LookalikeError
from utils.service.batching import BatchingEmbedder
from utils.service.metrics import Metrics
from utils.service.problems import ProblemError
from utils.service.settings import Settings

THUMBNAIL = 256  # pixels of the longer side
CACHED_THUMBNAILS = 512
log = logging.getLogger("lookalike.service")


class Served:
    """A saved collection behind a query handler.

    `folder` is what `ImageSearch.save` wrote; `embedder` the network that made it, by
    default found by the name of its pipeline.  `close` when done.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        settings: Settings,
        metrics: Metrics,
        *,
        embedder: Embedder | None = None,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.settings = settings
        self.writable = settings.token is not None
        self._changing = threading.Lock()
        self._unsaved = False
        self._version = version_in(self.folder)
        search = ImageSearch.open(self.folder, durable=self.writable)
        files = {"weights": settings.weights, "head": settings.head}
        try:
            embedder = embedder or restore_embedder(search.pipeline, **files)
        except BaseException:
            search.close()
            raise
        self.embedder = BatchingEmbedder(
            embedder,
            batch_size=settings.batch_size,
            wait=settings.batch_milliseconds / 1000,
            on_batch=metrics.batches.observe,
        )
        self._warm()
        self.handler = self._handler_of(search)

    def file_of(self, id: int) -> bytes:
        """Return a picture's file as it was indexed, and no other; KeyError if none."""
        return _read(self.handler.search.items[id])

    def thumbnail_of(self, id: int) -> bytes:
        """Return a picture as a small JPEG; KeyError if there is none."""
        return _shrink(self.handler.search.items[id])

    def add(self, data: bytes, label: str) -> Hit:
        """Add a picture; `LookalikeError` or `PictureError` says why not."""
        with self._changing:
            self._unsaved = True
            return self.handler.remember(data, label)

    def remove(self, id: int) -> None:
        """Remove a picture, and its file if the service wrote it; KeyError if none."""
        with self._changing:
            path = self.handler.search.path_of(id)
            self.handler.search.remove([id])
            self._unsaved = True
            if self.handler.keep_in and path.parent == self.handler.keep_in:
                path.unlink(missing_ok=True)

    def renew(self) -> None:
        """Switch to a newer save if there is one."""
        if self.writable or (version := version_in(self.folder)) == self._version:
            return
        try:
            self.handler = self._handler_of(ImageSearch.load(self.folder))
            self._version = version
        except (LookalikeError, OSError):
            log.exception("a newer save can't be read; the older one is served")

    def close(self) -> None:
        """Finish what waits for the network, and save what was changed."""
        self.embedder.close()
        with self._changing:
            if self._unsaved:
                self.handler.search.save(self.folder)
            self.handler.search.close()

    def _handler_of(self, search: ImageSearch) -> QueryHandler:
        search.use(cast(Embedder, self.embedder))  # it is used like one
        name = f"{self.folder.name}_added"
        return QueryHandler(
            search,
            keep_in=self.folder.with_name(name).resolve() if self.writable else None,
            max_bytes=self.settings.max_bytes,
            max_pixels=self.settings.max_pixels,
        )

    def _warm(self) -> None:
        """Let the network build what it builds at its first batches of any size."""
        random, side = np.random.default_rng(seed=0), self.embedder.input_size
        for n in (1, 2, self.settings.batch_size):
            self.embedder.embed(random.integers(0, 256, (n, side, side, 3), np.uint8))


def _read(item: Item) -> bytes:
    data = images.read_file(item.path)
    if images.sha256_of(data) != item.sha256:
        raise ProblemError(410, "The picture's file has changed since.")
    return data


@lru_cache(CACHED_THUMBNAILS)
def _shrink(item: Item) -> bytes:
    return images.thumbnail(_read(item), THUMBNAIL)
