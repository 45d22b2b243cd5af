"""Measure what the weights are worth: the tables of the model card.

    python tools/evaluate_weights.py gallery [--weights bundled] [--sizes 64 96 128]
    python tools/evaluate_weights.py photos FOLDER [--weights bundled] [--sizes ...]

`gallery` counts the held-out queries of `images/` against its gallery, once with and
once without the same thing's other pictures, the never-seen instances, and the
robustness to angle and light.  `photos` takes a folder with an `images.csv` of the
columns file, label and sender_id; the first 40 files of each label that has 40 are
queries and candidates at once, and a query's candidates come from other senders only.
Every row is computed by this run; those of EfficientNet-Lite0 say what the same table
looks like with a network that was trained on ImageNet.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from utils.beyond.networks import load_network  # noqa: E402
from utils.embeddings import color_histogram, load_embedder  # noqa: E402
from utils.gallery import read_metadata  # noqa: E402
from utils.images import load_pictures  # noqa: E402
from utils.metrics import score_retrieval  # noqa: E402

EFFICIENTNET_SIZES = (160, 224)
ANGLE, LIGHT, ANYTHING = (1, (0,)), (3, (2,)), (5, (0, 1, 2, 3, 4))
HEADER = f"{'':22}{'P@1':>7}{'P@5':>7}{'mAP':>7}{'queries':>9}"


def describe(
    paths: list[Path], weights: str, sizes: list[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, unit vectors) of each way to describe the pictures."""
    pictures, _, refused = load_pictures(paths, 96)
    if refused:
        raise SystemExit(f"{refused[0].path}: {refused[0].reason}")
    yield "colour histogram", color_histogram(pictures)
    for name, size in [("untrained", sizes[0]), *((weights, size) for size in sizes)]:
        embedder = load_embedder(name, input_size=size, verbose=False)
        pictures, _, _ = load_pictures(paths, size)
        yield f"{name}, {size} px", embedder.embed(pictures)
    for size in EFFICIENTNET_SIZES:
        network = load_network("efficientnet_lite0", input_size=size, verbose=False)
        pictures, _, _ = load_pictures(paths, size)
        yield f"EfficientNet, {size} px", network.embed(pictures)


def print_scores(
    name: str,
    vectors: np.ndarray,
    labels: np.ndarray,
    masks: tuple[np.ndarray, np.ndarray],
    *,
    ignore: np.ndarray,
) -> None:
    """Print one row; the masks over the vectors are of queries and of candidates."""
    queries, candidates = masks
    scores = score_retrieval(
        vectors[queries],
        vectors[candidates],
        labels[queries],
        labels[candidates],
        ignore=ignore[np.ix_(queries, candidates)],
    )
    numbers = "".join(f"{value:7.3f}" for value in scores[:3])
    print(f"{name:22}{numbers}{scores.n:9}", flush=True)


def share_found(
    vectors: np.ndarray, rows: list[dict], protocol: tuple[int, tuple[int, ...]]
) -> float:
    """Share of things of which another view is among the first five.

    The query is the stated view of every thing, every other picture a distractor; a
    hit is the same thing in one of the stated target views.
    """
    query_view, target_views = protocol
    things = np.array([f"{row['label']}/{row['instance']}" for row in rows])
    views = np.array([row["view"] for row in rows])
    queries = np.flatnonzero(views == query_view)
    similarities = vectors[queries] @ vectors.T
    similarities[np.arange(len(queries)), queries] = -np.inf  # itself
    nearest = np.argsort(-similarities, axis=1)[:, :5]
    same = things[nearest] == things[queries][:, None]
    return float((same & np.isin(views[nearest], target_views)).any(axis=1).mean())


def evaluate_gallery(weights: str, sizes: list[int]) -> None:
    """Print the tables of the bundled gallery."""
    rows = read_metadata(ROOT / "images" / "metadata.csv")
    paths = [ROOT / "images" / row["file"] for row in rows]
    labels = np.array([row["label"] for row in rows])
    split = np.array([row["split"] for row in rows])
    things = np.array([f"{row['label']}/{row['instance']}" for row in rows])
    same_thing = things[:, None] == things[None, :]
    nothing = np.zeros_like(same_thing)
    described = list(describe(paths, weights, sizes))
    tables = (
        ("held-out queries", "query", nothing),
        ("held-out queries, other instances only", "query", same_thing),
        ("never-seen instances", "unseen", nothing),
    )
    for title, queries, ignore in tables:
        print(f"\n{title}\n{HEADER}")
        for name, vectors in described:
            masks = split == queries, split == "gallery"
            print_scores(name, vectors, labels, masks, ignore=ignore)
    print(
        f"\nsame thing among the first five\n{'':22}{'angle':>7}{'light':>7}{'any':>7}"
    )
    for name, vectors in described:
        found = [share_found(vectors, rows, p) for p in (ANGLE, LIGHT, ANYTHING)]
        print(f"{name:22}" + "".join(f"{value:7.3f}" for value in found))


def evaluate_photos(folder: Path, weights: str, sizes: list[int]) -> None:
    """Print the table of a folder of real photos."""
    with open(folder / "images.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["label"], []).append(row)
    rows = [row for group in groups.values() if len(group) >= 40 for row in group[:40]]
    labels = np.array([row["label"] for row in rows])
    senders = np.array([row["sender_id"] for row in rows])
    everything = np.ones(len(rows), dtype=bool)
    same_sender = senders[:, None] == senders[None, :]
    print(f"\n{len(rows)} photos, {len(set(labels))} labels, other senders\n{HEADER}")
    for name, vectors in describe(
        [folder / row["file"] for row in rows], weights, sizes
    ):
        masks = everything, everything
        print_scores(name, vectors, labels, masks, ignore=same_sender)


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["gallery", "photos"])
    parser.add_argument("folder", type=Path, nargs="?", help="for photos")
    parser.add_argument("--weights", default="bundled", help="name or path")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 160, 224])
    options = parser.parse_args()
    if options.what == "gallery":
        evaluate_gallery(options.weights, options.sizes)
    elif options.folder is None:
        parser.error("photos needs a folder")
    else:
        evaluate_photos(options.folder, options.weights, options.sizes)


if __name__ == "__main__":
    main()
