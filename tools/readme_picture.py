"""Draw the README's picture: three held-out queries and what the search finds.

    python tools/readme_picture.py

The queries are fixed, not chosen for their results: the first query of every eighth
label.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from utils.collection.hits import show_hits  # noqa: E402
from utils.collection.search import ImageSearch  # noqa: E402
from utils.gallery import read_metadata  # noqa: E402
from utils.images import Collection  # noqa: E402


def main() -> None:
    """Search and save `docs/results.jpg`."""
    rows = read_metadata(ROOT / "images" / "metadata.csv")
    gallery = [row for row in rows if row["split"] == "gallery"]
    paths = [ROOT / "images" / row["file"] for row in gallery]
    search = ImageSearch.from_collection(
        Collection(paths, [row["label"] for row in gallery])
    )
    first = {row["label"]: row for row in reversed(rows) if row["split"] == "query"}
    chosen = [first[label] for label in sorted(first)[4::8]]
    queries = [ROOT / "images" / row["file"] for row in chosen]
    hits = [search.search(path, k=5) for path in queries]
    show_hits(queries, hits, labels=[row["label"] for row in chosen], size=256)
    (ROOT / "docs").mkdir(exist_ok=True)
    plt.savefig(ROOT / "docs" / "results.jpg", dpi=110, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
