"""The bundled gallery: its pictures, labels and splits, and its vectors, in one line.

>>> gallery, held_out, unseen = load_gallery()
>>> print(len(gallery.paths), gallery.labels[0], gallery.paths[0].name)
910 apple apple_0_0.jpg
"""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.errors import expanded, printable

# Not resolved: in a folder of links, output goes beside the links.
ROOT = Path(os.path.abspath(__file__)).parents[1]
IMAGES, OUTPUT = ROOT / "images", ROOT / "output"
NUMBERS = {"instance": int, "view": int, "yaw": float, "elevation": float}

Row = dict[str, Any]


class Split(NamedTuple):
    """One part of the collection; position i of each belongs to the same picture.

    `labels` is a str array of shape (n,), `vectors` a float32 array of shape (n, d) or
    None (nothing to embed with was given), `rows` are those of `read_metadata`.
    """

    paths: list[Path]
    labels: np.ndarray
    vectors: np.ndarray | None
    rows: list[Row]

    @property
    def things(self) -> np.ndarray:
        """Which thing each picture shows, such as "mug 3": str array of shape (n,)."""
        return np.array([f"{row['label']} {row['instance']}" for row in self.rows])


class Gallery(NamedTuple):
    """The three splits: the searched pictures, and two kinds of queries.

    `held_out` shows other views of the things in `gallery`; the things in `unseen`
    are of the same kinds, but none of them is in the gallery.
    """

    gallery: Split
    held_out: Split
    unseen: Split


def load_gallery(embed: Callable[..., Any] | None = None, **options: Any) -> Gallery:
    """Return the bundled pictures by split, with their vectors if `embed` makes them.

    `embed` is `utils.collection.extraction.embed_files`, or another with its result. It
    is called once, with all paths and the options, such as ``embedder=...``. ValueError
    if it refuses a picture; as `read_metadata` if the table of pictures is damaged.
    """
    rows = read_metadata()
    paths = [IMAGES / row["file"] for row in rows]
    vectors = None
    if embed is not None:
        embedded = embed(paths, **options)
        if embedded.refused:
            path, reason = embedded.refused[0]
            raise ValueError(
                f"{printable(str(path))}: expected a picture of the bundled gallery. "
                f"It was refused: {reason}. Bring it back: git checkout -- images."
            )
        vectors = embedded.vectors

    def split(name: str) -> Split:
        chosen = [i for i, row in enumerate(rows) if row["split"] == name]
        labels = np.array([rows[i]["label"] for i in chosen])
        own = None if vectors is None else vectors[chosen]
        return Split([paths[i] for i in chosen], labels, own, [rows[i] for i in chosen])

    return Gallery(split("gallery"), split("query"), split("unseen"))


def read_metadata(csv_path: str | os.PathLike = IMAGES / "metadata.csv") -> list[Row]:
    """Read the table that describes the gallery, or one with its columns.

    Each picture has its dict: ``instance`` and ``view`` are ints, ``yaw`` and
    ``elevation`` floats (degrees), the other columns text; ``file`` is relative to the
    table's folder. FileNotFoundError if there is no such table, ValueError if it is no
    CSV in UTF-8, a column is missing, or a number isn't one.
    """
    path = Path(expanded(csv_path))
    name = printable(str(path))
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows: list[Row] = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{name}: expected CSV in UTF-8. ({error})") from error
    missing = {"file", "label", "split", *NUMBERS} - set(reader.fieldnames or [])
    if missing:
        raise ValueError(
            f"{name}: expected the columns {sorted(missing)} as well. "
            f"Received: {reader.fieldnames}."
        )
    for line, row in enumerate(rows, start=2):
        try:
            row.update({key: kind(row[key]) for key, kind in NUMBERS.items()})
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}, line {line}: {error}") from error
    return rows
