"""What vectors are worth: average precision, and agreement with those of float32.

Quality is the average precision of each query; what one way adds to another is the
mean of the paired differences, with a bootstrap interval over the queries.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils import images
from utils.gallery import load_gallery
from utils.metrics import average_precision, bootstrap_mean, rank_relevance


@dataclass(frozen=True)
class Sample:
    """Pictures to judge vectors on: queries, candidates, and pairs that don't count.

    `queries` and `candidates` are positions in `files`, `ignore` is bool of shape
    (queries, candidates).
    """

    title: str
    files: list[Path]
    labels: np.ndarray
    queries: np.ndarray
    candidates: np.ndarray
    ignore: np.ndarray

    def similarities(self, vectors: np.ndarray) -> np.ndarray:
        """Return cosines, shape (queries, candidates); -inf for what is ignored."""
        cosines = vectors[self.queries] @ vectors[self.candidates].T
        return np.where(self.ignore, -np.inf, cosines)

    def average_precisions(self, vectors: np.ndarray) -> np.ndarray:
        """Return the average precision of each query, shape (queries,)."""
        relevant = rank_relevance(
            self.similarities(vectors),
            self.labels[self.queries],
            self.labels[self.candidates],
            ignore=self.ignore,
        )
        return average_precision(relevant)


def gallery_sample(every: int) -> Sample:
    """Return the held-out queries, and one of so many pictures of the gallery."""
    gallery, held_out, _ = load_gallery()
    files = [*held_out.paths, *gallery.paths[::every]]
    n, total = len(held_out.paths), len(files)
    return Sample(
        "gallery",
        files,
        np.concatenate([held_out.labels, gallery.labels[::every]]),
        np.arange(n),
        np.arange(n, total),
        np.zeros((n, total - n), dtype=bool),
    )


def photo_sample(folder: Path, each: int) -> Sample:
    """Return up to so many photos of each class folder, each a query for the others.

    If the folder has a table ``images.csv`` with the columns ``file`` and
    ``sender_id``, photos of one sender don't count for each other: they share rooms
    and cameras.  ValueError if no two folders hold photos.
    """
    found = images.scan_folder(folder)
    chosen = [
        i
        for label in sorted(set(found.labels) - {""})
        for i in np.flatnonzero(np.array(found.labels) == label)[:each]
    ]
    labels = np.array([found.labels[i] for i in chosen])
    if len(set(labels)) < 2:
        raise ValueError(
            f"{folder}: expected at least two folders with photos, named after what "
            f"they show. Received: {sorted(set(labels.tolist()))}."
        )
    files = [found.paths[i] for i in chosen]
    senders = np.array(_senders(folder, files))
    positions = np.arange(len(files))
    same = senders[:, None] == senders[None, :]
    return Sample("photos", files, labels, positions, positions, same)


def _senders(folder: Path, files: Sequence[Path]) -> list[str]:
    """Return who sent each photo, or a different name for each if nobody knows."""
    names = [path.relative_to(folder).as_posix() for path in files]
    try:
        with open(folder / "images.csv", newline="", encoding="utf-8") as file:
            known = {row["file"]: row["sender_id"] for row in csv.DictReader(file)}
    except (OSError, KeyError):
        known = {}
    return [known.get(name, name) for name in names]


def difference(scores: np.ndarray, base: np.ndarray) -> list[float]:
    """Return the mean of paired differences, and its 95 % interval."""
    return [float(value) for value in bootstrap_mean(scores - base, n_resamples=2000)]


def agreement(vectors: np.ndarray, exact: np.ndarray, sample: Sample) -> dict[str, Any]:
    """Compare with other vectors of the same files: cosine, ten nearest, mAP."""
    cosines = (vectors * exact).sum(axis=1)
    nearest = [
        np.argsort(-sample.similarities(v), axis=1, kind="stable")[:, :10]
        for v in (vectors, exact)
    ]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(*nearest, strict=True)]
    scores, base = (sample.average_precisions(v) for v in (vectors, exact))
    return {
        "cosine": float(cosines.min()),
        "top10": float(np.mean(shared)) / nearest[0].shape[1],
        "map": float(scores.mean()),
        "change": difference(scores, base),
    }
