"""The same collection in a vector database: Milvus, through its client pymilvus.

An address that is a file, such as ``photos.db``, runs the database inside this process
(milvus-lite); ``http://host:19530`` is a server or a cluster. Nothing else differs.

https://milvus.io/docs
"""

import importlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from utils.collection.faiss_parts import as_ids
from utils.errors import LookalikeError, check_k, expanded, import_optional
from utils.indexes import check_dimension, check_vectors

BATCH = 500  # rows in a message; a server takes 64 MB, and these of 2,048 numbers are 4
MAX_LABEL = 1000  # bytes
METRICS = {"inner_product": "IP", "l2": "L2"}
# milvus-lite takes any word for the kind of an index, says that it is finished, and
# compares with every vector all the same. These it does build:
BUILT_HERE = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "AUTOINDEX")
_open_files: set[str] = set()  # of this process: milvus-lite would share the server


def import_milvus() -> ModuleType:
    """Import pymilvus, or say in a LookalikeError how to install it."""
    import_optional("milvus_lite", "-r requirements-scale.txt")
    milvus = import_optional("pymilvus", "-r requirements-scale.txt")
    # They write tracebacks to stderr as well: pymilvus of whatever it raises,
    # milvus-lite of an index that it cannot build, which `Database` refuses
    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return milvus


class Database:
    """One collection of Milvus: vectors with ids of yours and labels.

    Made if the database has none of that name. Close it, or use ``with``: a file's
    database runs in this process, listens on this machine alone, and ends with it.
    Whatever Milvus refuses is a LookalikeError.

    Parameters
    ----------
    address : str or os.PathLike
        A file that ends in ``.db``, or ``http://host:19530`` or ``https://…``.
    d : int
        Numbers per vector.
    name : str
        Of the collection: letters, digits and ``_``.
    index : str
        Milvus's name of an index; ``"FLAT"`` is exact.
    metric : {"inner_product", "l2"}
        As `utils.indexes.build_index` has it.
    token : str
        ``user:password`` of a server that asks for one.
    """

    def __init__(
        self,
        address: str | os.PathLike,
        d: int,
        *,
        name: str = "pictures",
        index: str = "FLAT",
        metric: str = "inner_product",
        token: str = "",
    ) -> None:
        if metric not in METRICS:
            raise ValueError(
                f"metric must be one of {list(METRICS)}. Received: {metric!r}."
            )
        self.d, self.name, self.metric = check_k(d, "d"), name, metric
        self.milvus = import_milvus()
        self.address, self.file = _checked(address, index)
        options = {"token": token} if token else {}
        try:
            self.client = self.milvus.MilvusClient(self.address, **options)
            if self.file:
                _open_files.add(self.file)
            self._make_collection(index)
        except BaseException as error:
            self.close()
            if isinstance(error, self.milvus.MilvusException):
                raise LookalikeError(
                    f"{self.address}: expected a database to open. Received: {error}. "
                    "Has another program opened the file? Does the server run?"
                ) from error
            raise

    def _make_collection(self, index: str) -> None:
        kinds, client = self.milvus.DataType, self.client
        if client.has_collection(self.name):
            fields = client.describe_collection(self.name)["fields"]
            found = next(f for f in fields if f["name"] == "vector")["params"]["dim"]
            check_dimension(np.empty((0, self.d)), int(found), "d")
            client.load_collection(self.name)
            return
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kinds.INT64, is_primary=True)
        schema.add_field("label", kinds.VARCHAR, max_length=MAX_LABEL)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=self.d)
        indexes, metric = client.prepare_index_params(), METRICS[self.metric]
        indexes.add_index("vector", index_type=index, metric_type=metric)
        # Strong: a search sees every insertion and deletion before it
        client.create_collection(
            self.name,
            schema=schema,
            index_params=indexes,
            consistency_level="Strong",
        )

    def insert(
        self, ids: Iterable[int], vectors: np.ndarray, labels: Sequence[str]
    ) -> None:
        """Insert rows, in batches; one with an id that is there already replaces it.

        If a batch fails, those before it are in: insert all of them again.
        """
        vectors, numbers = check_vectors(vectors, "vectors"), as_ids(ids).tolist()
        check_dimension(vectors, self.d, "vectors")
        texts = [_checked_label(label) for label in labels]
        if not len(numbers) == len(set(numbers)) == len(vectors) == len(texts):
            raise ValueError(
                f"ids must differ, and be as many as vectors and labels. Received: "
                f"{len(set(numbers))} different ids, {len(vectors)} vectors, "
                f"{len(texts)} labels."
            )
        rows = [
            {"id": id, "label": label, "vector": vector}
            for id, label, vector in zip(numbers, texts, vectors, strict=True)
        ]
        for part in _batches(rows):
            self._ask("upsert", data=part)

    def search(
        self, queries: np.ndarray, k: int, *, label: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest rows of each query; with a `label`, those that have it.

        Returns as `utils.indexes.search_index`: similarities (float32) and ids (int64),
        both (q, k); −1 where fewer rows were found.
        """
        queries = check_vectors(queries, "queries")
        check_dimension(queries, self.d, "queries")
        k = max(1, min(check_k(k), len(self)))
        worst = np.finfo(np.float32).max * (-1 if self.metric == "inner_product" else 1)
        similarities = np.full((len(queries), k), worst, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        chosen = "" if label is None else matching(label)
        answers = [
            hits
            for part in _batches(list(queries))
            for hits in self._ask("search", data=part, limit=k, filter=chosen)
        ]
        for row, hits in enumerate(answers):
            similarities[row, : len(hits)] = [hit["distance"] for hit in hits]
            ids[row, : len(hits)] = [hit["id"] for hit in hits]
        return similarities, ids

    def delete(self, ids: Iterable[int]) -> None:
        """Delete rows by id; ids that are not there are no error."""
        for part in _batches(as_ids(ids).tolist()):
            self._ask("delete", ids=part)

    def __len__(self) -> int:
        """Count the rows."""
        answer = self._ask("query", filter="", output_fields=["count(*)"])
        return int(answer[0]["count(*)"])

    def close(self) -> None:
        """End the connection, and the database of a file with it; twice is no error."""
        if hasattr(self, "client"):
            self.client.close()
        if self.file:
            server = importlib.import_module("milvus_lite.server_manager")
            server.server_manager_instance.release_server(self.file)
            _open_files.discard(self.file)
            self.file = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, method: str, **options: Any) -> Any:
        try:
            return getattr(self.client, method)(self.name, **options)
        except self.milvus.MilvusException as error:
            raise LookalikeError(
                f"{self.address}: Milvus refused the {method}. Received: {error}."
            ) from error


def matching(label: str) -> str:
    r"""Return Milvus's expression for "has this label", whatever the label holds.

    Within quotes Milvus reads a backslash as the beginning of an escape. A label that
    is put between quotes as it is could end them, and be read as a condition.

    >>> print(matching('12" record'))
    label == "12\" record"
    """
    escapes = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
    text = "".join(escapes.get(c, c) for c in _checked_label(label))
    return f'label == "{text}"'


def _checked_label(label: str) -> str:
    if not isinstance(label, str):
        raise ValueError(f"labels must be text. Received: {label!r}.")
    size = len(label.encode("utf-8", "surrogatepass"))
    if size > MAX_LABEL or not label.encode("utf-8", "ignore").decode() == label:
        raise ValueError(
            f"labels must be Unicode text of at most {MAX_LABEL} bytes. "
            f"Received: {label!r:.60}, {size} bytes."
        )
    return str(label)


def _checked(address: str | os.PathLike, index: str) -> tuple[str, str]:
    """Return the address, and the absolute path if it is a file."""
    address = expanded(address)
    if address.startswith(("http://", "https://")):
        return address, ""
    path = Path(os.path.abspath(address))
    if path.suffix != ".db" or not path.parent.is_dir():
        raise ValueError(
            "address must be http://host:port, or a file ending in .db in a folder "
            f"that exists. Received: {address!r}."
        )
    if index not in BUILT_HERE:
        raise ValueError(
            f"index must be one of {list(BUILT_HERE)} in a file: milvus-lite takes "
            f"others without building them. Received: {index!r}."
        )
    if str(path) in _open_files:
        raise LookalikeError(
            f"{address}: expected a file that is closed. This process has it open. "
            "Close that database, or search through it."
        )
    return address, str(path)


def _batches(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
