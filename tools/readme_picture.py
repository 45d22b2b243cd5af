"""Draw the README's picture: three held-out queries and what the search finds.

    python tools/readme_picture.py

The queries are fixed, not chosen for their results: the first query of every eighth
label. The network is EfficientNet-Lite0, as for the reader's own photos in lesson 05.
It prints how often each of the two bundled networks finds the right kind first.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from utils.beyond.networks import load_network  # noqa: E402
from utils.collection.hits import show_hits  # noqa: E402
from utils.collection.search import ImageSearch  # noqa: E402
from utils.embeddings import load_embedder  # noqa: E402
from utils.gallery import IMAGES, read_metadata  # noqa: E402
from utils.images import Collection  # noqa: E402


def main() -> None:
    """Search and save `docs/results.jpg`."""
    rows = read_metadata()
    gallery = [row for row in rows if row["split"] == "gallery"]
    asked = [row for row in rows if row["split"] == "query"]
    collection = Collection(
        [IMAGES / row["file"] for row in gallery], [row["label"] for row in gallery]
    )
    for embedder in (load_embedder(), load_network("efficientnet_lite0")):
        search = ImageSearch.from_collection(collection, embedder=embedder)
        first = [search.search(IMAGES / row["file"], k=1)[0].label for row in asked]
        right = sum(
            label == row["label"] for label, row in zip(first, asked, strict=True)
        )
        print(f"right kind first: {right} of {len(asked)}")
    one = {row["label"]: row for row in reversed(asked)}
    chosen = [one[label] for label in sorted(one)[4::8]]
    queries = [IMAGES / row["file"] for row in chosen]
    hits = [search.search(path, k=5) for path in queries]
    show_hits(queries, hits, labels=[row["label"] for row in chosen], size=256)
    plt.savefig(ROOT / "docs" / "results.jpg", dpi=110, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
