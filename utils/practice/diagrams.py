"""Diagrams of what a lesson is about to build: boxes, arrows and a few words.

Each function draws one structure before the reader meets it in code. They show how it
is made, not data; figures of data are in `utils.plotting`. Lengths are in inches.
"""

from utils.plotting import BLUE, Axes, Rectangle, plt

TEXT = 9  # points
PALE = "#cce4f2"  # boxes that a text speaks of


def _make_canvas(width: float, height: float) -> Axes:
    """Make an empty figure of width by height inches; the origin is below, left."""
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return ax


def _draw_box(
    ax: Axes,
    corner: tuple[float, float],
    size: tuple[float, float],
    text: str = "",
    *,
    color: str = "white",
    edge: str = "black",
) -> None:
    """Draw a box, its lower left corner given, with a text in its middle."""
    ax.add_patch(Rectangle(corner, *size, facecolor=color, edgecolor=edge, lw=1.2))
    middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
    ax.text(*middle, text, ha="center", va="center", fontsize=TEXT)


def _draw_arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], text: str = ""
) -> None:
    """Draw an arrow, with a text above its middle."""
    ax.annotate(
        "", xy=end, xytext=start, arrowprops={"arrowstyle": "->", "color": BLUE}
    )
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.08)
    ax.text(*middle, text, ha="center", va="bottom", fontsize=TEXT, color=BLUE)


def show_split() -> None:
    """Draw how the 8 instances and 6 views of a label are split."""
    ax = _make_canvas(6.3, 3.8)
    for instance in range(8):
        bottom = 2.9 - 0.4 * instance
        ax.text(0.1, bottom + 0.2, f"instance {instance}", va="center", fontsize=TEXT)
        for view in range(6):
            text, color = ("query", "moccasin") if view == 5 else ("gallery", PALE)
            if instance == 7:
                text, color = "unseen", "lightgray"
            _draw_box(ax, (1.3 + 0.8 * view, bottom), (0.8, 0.4), text, color=color)
    for view in range(6):
        ax.text(1.7 + 0.8 * view, 3.45, f"view {view}", ha="center", fontsize=TEXT)


def show_network(size: int) -> None:
    """Draw ResNet50 from a picture to its vector, and the head that is left off."""
    ax = _make_canvas(8.7, 0.8)
    side = -(-size // 32)
    shapes = f"{size} × {size} × 3", f"{side} × {side} × 2,048", "2,048", "(left off)"
    names = "picture", "map", "vector", "1,000 scores"
    for k, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        color = "white" if k == 3 else PALE
        _draw_box(ax, (0.1 + 2.4 * k, 0.1), (1.3, 0.6), f"{name}\n{shape}", color=color)
    for k, step in enumerate(("convolutions", "mean", "head")):
        _draw_arrow(ax, (1.45 + 2.4 * k, 0.4), (2.45 + 2.4 * k, 0.4), step)


def show_flat_index() -> None:
    """Draw one query's search: compare with every vector, keep k ids, look them up."""
    ax = _make_canvas(8.6, 2.6)
    similarities, k = [0.21, 0.64, 0.10, 0.87, 0.55], 3
    best = sorted(range(5), key=similarities.__getitem__, reverse=True)[:k]
    _draw_box(ax, (0.1, 0.9), (1.1, 0.6), "query\nvector")
    _draw_arrow(ax, (1.25, 1.2), (2.15, 1.2), "search, k = 3")
    for id, similarity in enumerate(similarities):
        color, bottom = PALE if id in best else "white", 2.0 - 0.4 * id
        _draw_box(ax, (2.2, bottom), (0.6, 0.4), f"id {id}", color=color)
        _draw_box(ax, (2.8, bottom), (1.1, 0.4), f"vector {id}", color=color)
        ax.text(4.0, bottom + 0.2, f"{similarity:.2f}", va="center", fontsize=TEXT)
    ax.text(3.05, 0.2, "index: compares with all", ha="center", fontsize=TEXT)
    _draw_arrow(ax, (4.45, 1.2), (5.0, 1.2), "best k")
    found = "   ".join(f"{similarities[id]:.2f}" for id in best)
    _draw_box(ax, (5.05, 1.25), (1.6, 0.6), f"similarities\n{found}", color=PALE)
    ids = "      ".join(map(str, best))
    _draw_box(ax, (5.05, 0.55), (1.6, 0.6), f"ids\n{ids}", color=PALE)
    _draw_arrow(ax, (6.7, 0.85), (7.35, 0.85), "paths[id]")
    _draw_box(ax, (7.4, 0.55), (1.1, 0.6), "pictures,\nbest first")


def show_inverted_file() -> None:
    """Draw a search in cells: compare with the centroids, then in the nearest cells."""
    ax = _make_canvas(8.6, 2.8)
    similarities = [0.12, 0.71, 0.34, 0.68]
    lists = ["0   6   9", "2   3   8   10", "1   5   11", "4   7"]
    _draw_box(ax, (0.1, 1.0), (1.0, 0.6), "query\nvector")
    _draw_arrow(ax, (1.15, 1.3), (2.45, 1.3), "1. compare with\nall centroids")
    for cell, (similarity, ids) in enumerate(zip(similarities, lists, strict=True)):
        color, bottom = PALE if similarity > 0.5 else "white", 2.0 - 0.5 * cell
        text = f"centroid {cell}: {similarity:.2f}"
        _draw_box(ax, (2.5, bottom), (1.5, 0.4), text, color=color)
        _draw_box(ax, (4.5, bottom), (1.5, 0.4), ids, color=color)
        _draw_arrow(ax, (4.05, bottom + 0.2), (4.45, bottom + 0.2))
    ax.text(3.25, 0.15, "nlist = 4 cells", ha="center", fontsize=TEXT)
    ax.text(5.25, 0.15, "ids in each cell", ha="center", fontsize=TEXT)
    _draw_arrow(ax, (6.05, 1.3), (7.3, 1.3), "2. compare\nwith these 6")
    _draw_box(ax, (7.35, 1.0), (1.1, 0.6), "best k ids", color=PALE)
    ax.text(7.9, 0.65, "nprobe = 2", ha="center", fontsize=TEXT, color=BLUE)


def show_layers() -> None:
    """Draw a graph in three layers, and a search that steps down through them."""
    ax = _make_canvas(8.6, 3.2)
    places = {0: range(12), 1: [0, 3, 6, 8, 11], 2: [3, 11]}  # members of each layer
    names = ["every vector, short links", "about one in 16", "fewer still, long links"]
    path = [(3, 2), (3, 1), (6, 1), (6, 0), (7, 0)]  # member and layer

    def locate(member: int, layer: int) -> tuple[float, float]:
        return 2.7 + 0.48 * member, 0.5 + layer + 0.16 * (member % 2)

    for layer, members in places.items():
        corner = (2.3, 0.3 + layer)
        _draw_box(ax, corner, (6.2, 0.56), color="#f4f4f4", edge="lightgray")
        ax.text(0.1, 0.5 + layer, f"layer {layer}\n{names[layer]}", fontsize=TEXT)
        x, y = zip(*(locate(member, layer) for member in members), strict=True)
        ax.plot(x, y, "-o", color="gray", mfc="white", lw=0.9, ms=6)
    for before, after in zip(path, path[1:], strict=False):
        _draw_arrow(ax, locate(*before), locate(*after))
    ax.plot(*locate(*path[0]), "s", color=BLUE, ms=7)
    ax.plot(*locate(*path[-1]), "*", color=BLUE, ms=13)
    ax.text(4.3, 2.72, "start", color=BLUE, fontsize=TEXT)
    ax.text(6.25, 0.62, "nearest", color=BLUE, fontsize=TEXT)


def show_codes() -> None:
    """Draw how product quantisation turns a vector into a code, and back."""
    ax = _make_canvas(8.6, 3.9)
    numbers = {"piece 0": 17, "piece 1": 203, "piece 2": 5, "piece 15": 90}
    for text, height in {
        "a vector: 2,048 numbers,\n8,192 bytes": 3.6,
        "a codebook per piece:\n256 typical pieces": 2.35,
        "the code: 16 bytes": 1.2,
        "decoded: 2,048 numbers,\nnearly the vector": 0.35,
    }.items():
        ax.text(0.1, height, text, va="center", fontsize=TEXT)
    for place, (piece, number) in enumerate(numbers.items()):
        left = 2.4 + 1.5 * place + (0.2 if place == 3 else 0)
        _draw_box(ax, (left, 3.4), (1.4, 0.4), f"{piece}\n128 numbers")
        _draw_arrow(ax, (left + 0.7, 3.35), (left + 0.7, 2.95))
        for row, entry in enumerate(["0 …", f"{number}: nearest", "… 255"]):
            color = PALE if row == 1 else "white"
            corner = (left + 0.1, 2.6 - 0.35 * row)
            _draw_box(ax, corner, (1.2, 0.35), entry, color=color)
        _draw_arrow(ax, (left + 0.7, 1.85), (left + 0.7, 1.45))
        _draw_box(ax, (left + 0.35, 1.0), (0.7, 0.4), f"{number}", color=PALE)
        _draw_arrow(ax, (left + 0.7, 0.95), (left + 0.7, 0.6))
        _draw_box(ax, (left, 0.15), (1.4, 0.4), f"entry {number}", color=PALE)
    for height in (3.6, 2.4, 1.2, 0.35):
        ax.text(6.9, height, "…", ha="center", va="center", fontsize=TEXT)


def show_bytes() -> None:
    """Draw where the bytes of an IVFPQ index go: once, per vector, and on the disk."""
    ax = _make_canvas(8.6, 2.6)
    _draw_box(ax, (0.1, 1.35), (2.0, 0.6), "64 centroids of cells\n64 × 8,192 bytes")
    _draw_box(ax, (0.1, 0.6), (2.0, 0.6), "codebooks\n256 × 8,192 bytes")
    for row, name in enumerate(["vector 0", "vector 1", "vector 2", "…"]):
        bottom, last = 1.6 - 0.4 * row, name == "…"
        ax.text(2.7, bottom + 0.2, name, va="center", fontsize=TEXT)
        for left, width, text, color in (
            (3.4, 1.0, "id: 8 bytes", "white"),
            (4.4, 1.3, "code: 64 bytes", PALE),
            (6.3, 2.1, "exact: 8,192 bytes", "white"),
        ):
            text = "…" if last else text
            _draw_box(ax, (left, bottom), (width, 0.4), text, color=color)
    for middle, text in {1.1: "once", 4.55: "per vector", 7.35: "per vector"}.items():
        ax.text(middle, 2.35, text, ha="center", fontsize=TEXT, color=BLUE)
    ax.plot([6.0, 6.0], [0.3, 2.5], "--", color="gray")
    ax.text(3.0, 0.1, "in memory", ha="center", va="center", fontsize=TEXT)
    ax.text(7.35, 0.1, "on disk, to refine", ha="center", va="center", fontsize=TEXT)


def show_recall_ceiling(k: int = 5, n_relevant: int = 30) -> None:
    """Draw why recall@k cannot reach 1: the page has fewer places than there are hits.

    `n_relevant` is R, at least `k`; both small enough to be drawn side by side.
    """
    ax = _make_canvas(8.6, 2.1)
    side = 8.2 / n_relevant
    for place in range(n_relevant):
        color = PALE if place < k else "white"
        _draw_box(ax, (0.2 + side * place, 0.5), (side, 0.3), color=color)
    for rank in range(k):
        _draw_box(ax, (0.2 + 0.6 * rank, 1.3), (0.6, 0.4), f"✓ {rank + 1}", color=PALE)
    ax.text(0.2, 1.82, f"a perfect page of k = {k}", fontsize=TEXT)
    ax.text(0.2, 0.25, f"all R = {n_relevant} relevant pictures", fontsize=TEXT)
    _draw_arrow(ax, (0.2 + side * k / 2, 1.27), (0.2 + side * k / 2, 0.83))
    ceiling = f"recall@{k} is at most {k} / {n_relevant} = {k / n_relevant:.2f}"
    ax.text(0.6 * k + 0.6, 1.5, ceiling, va="center", fontsize=TEXT, color=BLUE)


def show_bootstrap() -> None:
    """Draw how the scores, drawn again and again, give an interval of their mean."""
    ax = _make_canvas(8.6, 2.6)
    scores = [0.1, 0.5, 0.2, 0.9, 0.3]
    draws = [[1, 3, 3, 0, 4], [2, 0, 0, 4, 2], [4, 1, 2, 3, 1]]
    for row, score in enumerate(scores):
        _draw_box(ax, (0.3, 2.0 - 0.4 * row), (1.1, 0.4), f"query {row}: {score}")
    mean = sum(scores) / len(scores)
    ax.text(0.85, 0.12, f"mean {mean:.2f}", ha="center", fontsize=TEXT)
    for line, drawn in enumerate(draws):
        bottom = 1.9 - 0.6 * line
        _draw_arrow(ax, (1.45, 1.4), (2.35, bottom + 0.2))
        for column, row in enumerate(drawn):
            color = PALE if drawn.count(row) > 1 else "white"
            corner = (2.4 + 0.5 * column, bottom)
            _draw_box(ax, corner, (0.5, 0.4), f"{scores[row]}", color=color)
        _draw_arrow(ax, (4.95, bottom + 0.2), (5.35, bottom + 0.2))
        mean = sum(scores[row] for row in drawn) / len(drawn)
        ax.text(5.4, bottom + 0.2, f"mean {mean:.2f}", va="center", fontsize=TEXT)
    note = "five drawn with replacement (blue: more than once)"
    ax.text(3.65, 0.3, note, ha="center", fontsize=TEXT)
    _draw_arrow(ax, (6.2, 1.5), (6.75, 1.5))
    text = "10,000 means:\nthe middle 95 %\nare the interval"
    _draw_box(ax, (6.8, 1.1), (1.6, 0.8), text, color=PALE)


def show_folding() -> None:
    """Draw how a convolution and its batch norm become one convolution."""
    ax = _make_canvas(8.6, 2.2)
    two = ["convolution\nx * kernel + bias", "batch norm\n(x − mean) · scale + beta"]
    one = "one convolution\nkernel · scale,   (bias − mean) · scale + beta"
    for left, text in zip((1.6, 4.5), two, strict=True):
        _draw_box(ax, (left, 1.4), (2.3, 0.6), text)
        _draw_arrow(ax, (left - 0.6, 1.7), (left - 0.05, 1.7))
    _draw_box(ax, (1.6, 0.2), (5.2, 0.6), one, color=PALE)
    _draw_arrow(ax, (1.0, 0.5), (1.55, 0.5))
    for height, name in ((1.7, "as trained"), (0.5, "folded")):
        ax.text(0.05, height, name, va="center", fontsize=TEXT)
        _draw_arrow(ax, (6.85, height), (7.4, height))
        ax.text(7.5, height, "the same\nnumbers", va="center", fontsize=TEXT)
    ax.text(
        4.2, 1.1, "scale = gamma / √(variance + epsilon)", ha="center", fontsize=TEXT
    )


def show_tombstones() -> None:
    """Draw an index before and after id 1 is removed: by FAISS, and by a tombstone."""
    ax = _make_canvas(8.6, 2.2)
    rows = {
        "before": ["id 0  A", "id 1  B", "id 2  C", "id 3  D"],
        "FAISS Flat: later ids shift": ["id 0  A", "id 1  C", "id 2  D"],
        "tombstone: B stays, skipped": ["id 0  A", "†  B", "id 2  C", "id 3  D"],
    }
    for row, (name, texts) in enumerate(rows.items()):
        bottom = 1.6 - 0.7 * row
        ax.text(0.1, bottom + 0.2, name, va="center", fontsize=TEXT)
        for column, text in enumerate(texts):
            color = "lightgray" if "†" in text else PALE
            _draw_box(ax, (3.4 + 1.2 * column, bottom), (1.1, 0.4), text, color=color)


def show_generations() -> None:
    """Draw how a save becomes valid in one step, by a tiny file that names it."""
    ax = _make_canvas(8.6, 1.9)
    moments = {"1. before": (1, 1), "2. write beside": (1, 2), "3. point to it": (2, 2)}
    for column, (name, (current, written)) in enumerate(moments.items()):
        left = 0.1 + 2.95 * column
        ax.text(left, 1.65, name, fontsize=TEXT)
        _draw_box(ax, (left, 0.85), (0.9, 0.45), "CURRENT", color=PALE)
        for number in range(1, written + 1):
            bottom = 1.0 - 0.7 * (number - 1)
            text = f"generation {number}"
            _draw_box(ax, (left + 1.3, bottom), (1.25, 0.5), text)
        _draw_arrow(ax, (left + 0.9, 1.07), (left + 1.28, 1.95 - 0.7 * current))


def show_shared_pass() -> None:
    """Draw three requests that arrive within 3 ms: a pass for each, or one for all."""
    ax = _make_canvas(8.6, 2.2)
    rows = {
        "one by one": [(0, 10, "pass: A"), (10, 20, "pass: B"), (20, 30, "pass: C")],
        "shared": [(0, 3, "wait"), (3, 17, "one pass: A, B and C")],
    }
    for row, (name, passes) in enumerate(rows.items()):
        bottom = 1.2 - 1.1 * row
        ax.text(0.1, bottom + 0.2, name, va="center", fontsize=TEXT)
        for start, end, text in passes:
            color = "white" if text == "wait" else PALE
            corner, width = (1.1 + 0.2 * start, bottom), 0.2 * (end - start)
            _draw_box(ax, corner, (width, 0.4), text, color=color)
        for arrived, request in enumerate("ABC"):
            left = 1.15 + 0.2 * arrived
            _draw_arrow(ax, (left, bottom + 0.7), (left, bottom + 0.42))
            ax.text(left, bottom + 0.72, request, ha="center", fontsize=TEXT)
        done = f"C answered\nafter {passes[-1][1]} ms"
        ax.text(1.2 + 0.2 * end, bottom + 0.2, done, va="center", fontsize=TEXT)


def show_transformer() -> None:
    """Draw a vision transformer: patches and a class token, blocks, one vector."""
    ax = _make_canvas(9.3, 2.7)
    rows = [
        ("class token", 2.1),
        ("patch 1", 1.55),
        ("patch 2", 1.0),
        ("patch 196", 0.1),
    ]
    for name, bottom in rows:
        _draw_box(ax, (1.5, bottom), (1.1, 0.45), name, color=PALE)
        ax.text(2.65, bottom + 0.22, "+ position", va="center", fontsize=TEXT)
        _draw_arrow(ax, (3.45, bottom + 0.22), (3.9, bottom + 0.22))
        if name != "class token":
            _draw_arrow(ax, (1.05, 1.05), (1.45, bottom + 0.22))
    ax.text(2.05, 0.78, "⋮", ha="center", va="center")
    _draw_box(ax, (0.1, 0.6), (0.95, 0.9), "picture\n224 × 224")
    _draw_box(ax, (3.95, 0.1), (2.5, 2.45), "", color="white")
    words = "each looks\nat all others:\nattention"
    _draw_box(ax, (4.1, 1.2), (1.15, 1.0), words, color=PALE)
    _draw_box(ax, (5.35, 1.2), (0.95, 1.0), "each by\nitself:\nMLP", color=PALE)
    ax.text(5.2, 0.6, "block, 12 times", ha="center", fontsize=TEXT)
    _draw_arrow(ax, (6.5, 2.32), (7.3, 2.32), "token")
    _draw_box(ax, (7.35, 2.05), (1.6, 0.5), "vector: 768", color=PALE)
    _draw_arrow(ax, (6.5, 0.9), (7.3, 0.9), "patches")
    _draw_box(ax, (7.35, 0.65), (1.6, 0.5), "not used")


def show_fan_out() -> None:
    """Draw a query that goes to one replica of each shard, and the merge of answers."""
    ax = _make_canvas(8.6, 2.4)
    found = [["0.91  id 7", "0.60  id 2"], ["0.88  id 41", "0.85  id 36"]]
    found.append(["0.59  id 93", "0.55  id 98"])
    held, waits = ["ids 0–33", "ids 34–66", "ids 67–99"], ["2 ms", "3 ms", "9 ms"]
    _draw_box(ax, (0.05, 0.95), (0.8, 0.5), "query")
    for shard, (best, ids, wait) in enumerate(zip(found, held, waits, strict=True)):
        bottom = 1.65 - 0.7 * shard
        _draw_arrow(ax, (0.9, 1.2), (1.75, bottom + 0.25))
        for replica, color in enumerate((PALE, "white")):
            text = f"shard {shard}, {'ab'[replica]}\n{ids}"
            _draw_box(ax, (1.8 + 1.2 * replica, bottom), (1.15, 0.5), text, color=color)
        _draw_arrow(ax, (4.2, bottom + 0.25), (4.75, bottom + 0.25), wait)
        _draw_box(ax, (4.8, bottom), (1.0, 0.5), "\n".join(best))
        _draw_arrow(ax, (5.85, bottom + 0.25), (7.2, 1.2))
    _draw_box(ax, (7.25, 0.95), (1.0, 0.5), "0.91  id 7\n0.88  id 41", color=PALE)
    notes = {2.95: "one replica is asked", 5.3: "2 best of each"}
    for x, note in notes.items():
        ax.text(x, 0.0, note, ha="center", fontsize=TEXT)
    ax.text(7.75, 0.5, "2 best of all,\nafter 9 ms", ha="center", fontsize=TEXT)


def show_towers() -> None:
    """Draw three ways to bring pictures and words into one space."""
    ax = _make_canvas(8.6, 3.4)
    ways = {
        "names (ConSE)": ("a classifier", "names' vectors", "the sentences'\nspace"),
        "captions": ("picture network", "as it is", "the pictures'\nspace"),
        "CLIP": ("picture tower", "projection", "a space\nmade for both"),
    }
    for row, (name, (network, then, space)) in enumerate(ways.items()):
        bottom = 2.55 - 1.15 * row
        ax.text(0.05, bottom + 0.3, name, va="center", fontsize=TEXT, color=BLUE)
        words = ["text tower", "projection"] if row == 2 else ["MiniLM", "as it is"]
        words[1] = "learned matrix" if row == 1 else words[1]
        for height, source, parts in (
            (bottom + 0.35, "picture", [network, then]),
            (bottom - 0.15, "words", words),
        ):
            ax.text(1.3, height + 0.18, source, va="center", fontsize=TEXT)
            _draw_arrow(ax, (1.85, height + 0.18), (2.15, height + 0.18))
            _draw_box(ax, (2.2, height), (1.9, 0.36), parts[0], color=PALE)
            _draw_arrow(ax, (4.15, height + 0.18), (4.5, height + 0.18))
            _draw_box(ax, (4.55, height), (1.4, 0.36), parts[1])
            _draw_arrow(ax, (6.0, height + 0.18), (6.45, bottom + 0.28))
        _draw_box(ax, (6.5, bottom), (2.0, 0.56), space, color=PALE)


def show_head() -> None:
    """Draw a head behind a frozen network, and what its loss does to the vectors."""
    ax = _make_canvas(8.6, 2.2)
    chain = {
        "picture": "white",
        "network\n(frozen)": "lightgray",
        "head\n(learns)": PALE,
    }
    for column, (text, color) in enumerate(chain.items()):
        _draw_box(ax, (0.1 + 1.5 * column, 0.8), (1.0, 0.6), text, color=color)
        _draw_arrow(ax, (1.12 + 1.5 * column, 1.1), (1.58 + 1.5 * column, 1.1))
    panels = {
        "before": (4.7, [(0.3, 1.1), (1.0, 0.3)], [(0.7, 0.7), (1.1, 1.2)]),
        "after": (6.9, [(0.3, 0.6), (0.5, 0.3)], [(0.9, 1.0), (1.1, 1.3)]),
    }
    for title, (left, mugs, hats) in panels.items():
        _draw_box(ax, (left, 0.3), (1.6, 1.5), edge="lightgray")
        ax.text(left + 0.8, 1.95, title, ha="center", fontsize=TEXT)
        kinds = (("mug", "o", BLUE, mugs), ("hat", "s", "black", hats))
        for name, marker, color, places in kinds:
            for dx, dy in places:
                x, y = left + dx, 0.3 + dy
                ax.plot(x, y, marker, color=color, ms=8)
                ax.text(x + 0.12, y, name, va="center", fontsize=TEXT)
    _draw_arrow(ax, (6.35, 1.1), (6.85, 1.1))
    note = "the loss: one kind together, others apart"
    ax.text(6.6, 0.08, note, ha="center", fontsize=TEXT, color=BLUE)


def show_spectrogram() -> None:
    """Draw how a sound becomes frames, each a column of bands, and then a vector."""
    ax = _make_canvas(8.6, 2.2)
    wave = [(0.1 + 0.02 * i, 1.1 + 0.6 * (-1) ** i / (1 + i / 25)) for i in range(100)]
    ax.plot(*zip(*wave, strict=True), color="gray", lw=0.7)
    ax.text(1.1, 0.05, "samples: 16,000 per second", ha="center", fontsize=TEXT)
    for number in range(3):
        corner = (0.12 + 0.5 * number, 0.4 + 0.1 * number)
        _draw_box(ax, corner, (0.9, 1.3), color="none", edge=BLUE)
        for band in range(6):
            loud = (band + number) % 3 == 0
            color, bottom = PALE if loud else "white", 0.4 + 0.22 * band
            _draw_box(ax, (3.5 + 0.5 * number, bottom), (0.5, 0.22), color=color)
    ax.text(1.1, 1.98, "frames that overlap", ha="center", fontsize=TEXT, color=BLUE)
    _draw_arrow(ax, (2.2, 1.1), (3.4, 1.1), "spectrum,\nin mel bands,\nlogarithm")
    ax.text(4.25, 0.05, "spectrogram: 64 bands", ha="center", fontsize=TEXT)
    _draw_arrow(ax, (5.1, 1.1), (6.6, 1.1), "mean and spread,\nor a network")
    _draw_box(ax, (6.7, 0.8), (1.2, 0.6), "vector", color=PALE)
