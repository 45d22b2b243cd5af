"""Where the pictures of a collection stand on a map, and the names and colours there.

Similar pictures stand together.  `utils.app.explore` draws.
"""

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from utils import plotting
from utils.app.query import QueryHandler
from utils.collection.search import ImageSearch

MOST = 10_000  # pictures on a map; t-SNE takes about a minute for them
FEW = 12  # t-SNE needs neighbours: with fewer pictures PCA draws the map
AXES = 50  # main directions that t-SNE looks at
PERPLEXITY = 30  # how many neighbours each point holds on to, roughly
SAME = 1e-4  # vectors nearer than this are one place
ISLAND = 0.08  # how far its pictures are from its middle, in shares of the side
APART = 0.004  # between pictures at one place, in shares of the map's side


class Places(NamedTuple):
    """Where pictures stand on a map; position i of each is one picture."""

    ids: np.ndarray  # int64, shape (n,)
    points: np.ndarray  # float64, shape (n, 2), from 0 to 1
    labels: list[str]
    total: int  # pictures in the collection: more than n if only a sample is drawn


def find_places(search: ImageSearch | QueryHandler, *, seed: int = 0) -> Places:
    """Find a place for each picture of a collection, or for a sample of `MOST`.

    The same pictures and seed give the same map.
    """
    search = search_of(search)
    items = search.items
    ids = np.array(list(items), dtype=np.int64)
    if len(ids) > MOST:
        chosen = np.random.default_rng(seed).choice(len(ids), MOST, replace=False)
        ids = ids[np.sort(chosen)]
    labels = [items[id].label for id in ids.tolist()]
    points = project(search.index.reconstruct(ids), seed=seed) if len(ids) else None
    return Places(
        ids, np.empty((0, 2)) if points is None else points, labels, len(items)
    )


def project(vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Return a point for each vector, near to those of similar vectors.

    By t-SNE, or by PCA for fewer than `FEW`.  Equal vectors stand in a small spiral.

    Parameters
    ----------
    vectors
        float32 array of shape (n, d), n ≥ 1.

    Returns
    -------
    ndarray
        float64 array of shape (n, 2), from 0 to 1.
    """
    _, first, which = np.unique(
        np.round(vectors / SAME), axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(np.argsort(first))  # as they came, not as NumPy sorts them
    which, distinct = order[which.ravel()], vectors[np.sort(first)]
    n = len(distinct)
    if n == 1:
        points = np.zeros((1, 2))
    elif n < FEW:
        points = PCA(min(2, n - 1), svd_solver="full").fit_transform(distinct)
    else:
        axes = PCA(min(AXES, n - 1, vectors.shape[1]), random_state=seed)
        perplexity = min(PERPLEXITY, (n - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed)
        points = tsne.fit_transform(axes.fit_transform(distinct))
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1]))).astype(float)
    return _spread(_scaled(points)[which], which)


def name_islands(places: Places, most: int = 40) -> dict[str, tuple[float, float]]:
    """Return where to write the labels: in the middle of most of their pictures.

    Only the `most` frequent ones; a map of hundreds of names shows nothing.
    """
    names, counts = np.unique([*filter(None, places.labels)], return_counts=True)
    kinds, found = np.array(places.labels), {}
    for name in names[np.argsort(-counts, kind="stable")][:most].tolist():
        own = places.points[kinds == name]
        # Not the mean, which lies between the islands of a label in two pieces.
        apart = np.linalg.norm(own[:, None] - own[None, :500], axis=-1)
        near = apart[:, np.argmax((apart < ISLAND).sum(axis=0))] < ISLAND
        found[name] = tuple(np.median(own[near], axis=0).tolist())
    return found


def color_labels(places: Places) -> list[int]:
    """Return a number below the palette's length for each picture, by its label.

    Six colours cannot tell 26 labels apart, but they can tell each from the labels
    around it, as on a political map; the names do the rest.  -1: no label.
    """
    centres = name_islands(places, most=len(places.labels))
    names, points = list(centres), np.array([*centres.values()]).reshape(-1, 2)
    n, colors = len(plotting.PALETTE), dict[str, int]()
    for i, name in enumerate(names):
        apart = np.linalg.norm(points - points[i], axis=1)
        near = [names[j] for j in np.argsort(apart, kind="stable")[1:] if j < i]
        taken = [colors[other] for other in near]
        # The colour that is farthest away.
        colors[name] = max(
            range(n), key=lambda c: taken.index(c) if c in taken else len(names) - c / n
        )
    return [colors.get(label, -1) for label in places.labels]


def updated(places: Places, search: ImageSearch) -> Places:
    """Return places without the pictures that have gone, and with those that came.

    A new picture stands in the middle of the three on the map that it is most like.
    """
    items = search.items
    stay = [row for row, id in enumerate(places.ids.tolist()) if id in items]
    known = set(places.ids.tolist())
    new = [id for id in items if id not in known][: max(0, MOST - len(stay))]
    if not stay:
        return find_places(search)
    points = places.points[stay]
    if new:
        there = search.index.reconstruct(places.ids[stay])
        similar = search.index.reconstruct(new) @ there.T
        near = np.argsort(-similar, axis=1, kind="stable")[:, :3]
        points = np.vstack([points, points[near].mean(axis=1)])
    ids = np.array([*places.ids[stay].tolist(), *new], dtype=np.int64)
    labels = [items[id].label for id in ids.tolist()]
    return Places(ids, points, labels, len(items))


def search_of(source: ImageSearch | QueryHandler) -> ImageSearch:
    """Return the collection that is asked, whoever asks it."""
    return source.search if isinstance(source, QueryHandler) else source


def _scaled(points: np.ndarray) -> np.ndarray:
    """Fit points into the unit square, each axis by itself: neither has a unit."""
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    flat = extent < 1e-12
    return np.where(flat, 0.5, (points - low) / np.where(flat, 1, extent))


def _spread(points: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Move pictures at one place apart, as the seeds of a sunflower are."""
    seen, spread = dict[int, int](), points.copy()
    for row, place in enumerate(which.tolist()):
        k = seen[place] = seen.get(place, -1) + 1
        angle = 2.4 * k  # radians: the golden angle
        spread[row] += APART * np.sqrt(k) * np.array([np.cos(angle), np.sin(angle)])
    return np.clip(spread, 0, 1)
