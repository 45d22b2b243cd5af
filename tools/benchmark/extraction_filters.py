"""What the filter that shrinks pictures does to the search, measured and explained."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tools.benchmark.extraction_quality import Sample, difference
from tools.benchmark.extraction_words import change, is_clear, listed, table_row
from utils import images
from utils.embeddings import Embedder, normalize

NEAREST, PLAIN, FILTER = "nearest neighbour", "plain bilinear", "bilinear"
SHARPENED, SOFTENED = "sharpened bilinear", "softened nearest neighbour"
LARGER = f"{FILTER}, input"  # what the row of a larger input begins with
BATCH = 32  # pictures that go through the network together
TUNED_ON = 32  # pictures whose sharpness is matched
STRONGEST = 8.0  # sharpening that is tried
Resize = Callable[[Image.Image, int], np.ndarray]
Record = dict[str, Any]
Shrunk = dict[str, tuple[np.ndarray, dict[str, float]]]  # pixels, what was chosen


def pillow(method: Image.Resampling) -> Resize:
    """Return a resize by one of Pillow's filters; all but nearest are antialiased."""
    return lambda image, size: np.asarray(image.resize((size, size), method))


def interpolate(image: Image.Image, size: int) -> np.ndarray:
    """Take a weighted mean of the four pixels around each point: no antialiasing."""
    whole = (0, 0, *image.size)
    method, bilinear = Image.Transform.EXTENT, Image.Resampling.BILINEAR
    return np.asarray(image.transform((size, size), method, whole, bilinear))


FILTERS: dict[str, Resize] = {
    FILTER: images.resize,
    NEAREST: pillow(Image.Resampling.NEAREST),
    PLAIN: interpolate,
    "box (area)": pillow(Image.Resampling.BOX),
    "bicubic": pillow(Image.Resampling.BICUBIC),
    "Lanczos": pillow(Image.Resampling.LANCZOS),
}


def sharpness(pixels: np.ndarray) -> float:
    """Return the mean difference of neighbouring pixels, 0 to 255.

    >>> sharpness(np.array([[[[0], [10]], [[0], [10]]]], dtype=np.uint8))
    5.0
    """
    values = pixels.astype(np.float32)
    down, right = (np.abs(np.diff(values, axis=axis)).mean() for axis in (1, 2))
    return float(down + right) / 2


def sharpen(pixels: np.ndarray, amount: float) -> np.ndarray:
    """Add so many times the difference from a blurred copy; negative: soften."""
    values = pixels.astype(np.float32)
    blurred: np.ndarray = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    blurred = (blurred[:, :-2] + 2 * blurred[:, 1:-1] + blurred[:, 2:]) / 4
    blurred = (blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]) / 4
    sharp = values + amount * (values - blurred)
    return np.clip(np.rint(sharp), 0, 255).astype(np.uint8)


def matching_amount(pixels: np.ndarray, wanted: float) -> float:
    """Return the amount of `sharpen` that gives pictures a wanted sharpness."""
    low, high = -1.0, STRONGEST
    for _ in range(20):
        middle = (low + high) / 2
        if sharpness(sharpen(pixels, middle)) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def shrink_all(pictures: Sequence[Image.Image], size: int) -> Shrunk:
    """Shrink pictures by every filter, and by two controls of equal sharpness.

    One control is ours, sharpened until neighbours differ as much as nearest
    neighbour leaves them: sharp, but not aliased.  The other is nearest neighbour,
    softened to the sharpness of ours: aliased, but not sharp.
    """
    shrunk = {
        name: np.stack([resize(picture, size) for picture in pictures])
        for name, resize in FILTERS.items()
    }
    result: Shrunk = {name: (pixels, {}) for name, pixels in shrunk.items()}
    for name, source, like in (
        (SHARPENED, FILTER, NEAREST),
        (SOFTENED, NEAREST, FILTER),
    ):
        step = max(1, len(pictures) // TUNED_ON)
        wanted = sharpness(shrunk[like][::step])
        amount = matching_amount(shrunk[source][::step], wanted)
        result[name] = sharpen(shrunk[source], amount), {"amount": amount}
    return result


def compare_filters(
    sample: Sample, embedder: Embedder, larger: Embedder | None = None
) -> list[Record]:
    """Embed the same pictures through each filter: a row for each.

    `change` is against ours; of the sharpened control, `rest` is what nearest
    neighbour adds to it: what its aliasing does beyond its sharpness.  `larger` takes
    larger pictures, by our filter.
    """
    pictures = [images.open_picture(path) for path in sample.files]
    rows: list[Record] = []
    scores: dict[str, np.ndarray] = {}

    def add(name: str, pixels: np.ndarray, using: Embedder, **more: float) -> None:
        parts = np.array_split(pixels, max(1, len(pixels) // BATCH))
        vectors = normalize(np.concatenate([using.forward(part) for part in parts]))
        scores[name] = sample.average_precisions(vectors)
        values = {"map": float(scores[name].mean()), "sharpness": sharpness(pixels)}
        changed = difference(scores[name], scores[FILTER])
        rows.append({"name": name, **values, "change": changed, **more})

    for name, (pixels, more) in shrink_all(pictures, embedder.input_size).items():
        add(name, pixels, embedder, **more)
        if name == SHARPENED:
            rows[-1]["rest"] = difference(scores[NEAREST], scores[name])
    if larger:
        size = larger.input_size
        pixels = np.stack([images.resize(picture, size) for picture in pictures])
        add(f"{LARGER} {size}", pixels, larger)
    return rows


# ------------------------------------------------------------------------ the words
def filter_lines(raw: Record) -> list[str]:
    """Return the page's section about filters."""
    entries = raw["filters"]
    lines = ["## What the resize filter does", "", explain(raw), ""]
    heads = [f"{entry['title']}, {entry['size']}" for entry in entries]
    head = ["filter", *(cell for one in heads for cell in (f"{one}: sharpness", "mAP"))]
    lines += [table_row(*head), table_row("---", *["---:"] * (len(head) - 1))]
    by_name = [{row["name"]: row for row in entry["rows"]} for entry in entries]
    for name in dict.fromkeys(name for rows in by_name for name in rows):
        cells = [f"**{name}** (ours)" if name == FILTER else name]
        for rows in by_name:
            row = rows.get(name)
            more = f" ({change(row['change'])})" if row and name != FILTER else ""
            cells.append(f"{row['sharpness']:.1f}" if row else "")
            cells.append(f"{row['map']:.3f}{more}" if row else "")
        lines.append(table_row(*cells))
    return [
        *lines,
        "",
        "mAP, and its change against ours with a 95 % interval over the queries. "
        "**Sharpness** is the mean difference of neighbouring pixels, 0 to 255. "
        f"*{PLAIN}* takes a mean of four pixels and is not antialiased; box, bilinear, "
        "bicubic and Lanczos are Pillow's, and are. "
        f"*{SHARPENED}* has the sharpness of nearest neighbour without its aliasing, "
        f"*{SOFTENED}* the aliasing with the sharpness of ours. Vectors are "
        "float32.",
    ]


def explain(raw: Record) -> str:
    """Return the paragraph about the filters."""
    sentences = [_explained(entry) for entry in raw["filters"]]
    own = [e for e in raw["filters"] if e["size"] == raw["weights"]["input_size"]]
    changes = {
        name: [
            (entry["title"], row["change"])
            for entry in own
            for row in entry["rows"]
            if row["name"] == name
        ]
        for name in FILTERS
    }
    better = []
    for name, found in changes.items():
        where = [title for title, one in found if one[1] > 0]
        if where and not any(one[2] < 0 for _, one in found):
            better.append(f"{name} ({listed(where)})")
    if better:
        sentences.append(
            "**At the notebooks' input, clearly better than ours somewhere and clearly "
            f"worse nowhere: {listed(better)}.**"
        )
    elif own:
        sentences.append(
            "At the notebooks' input every other filter is clearly worse than ours "
            "somewhere, or clearly better nowhere."
        )
    return " ".join(sentences)


def _explained(entry: Record) -> str:
    """Say which filter is best, and where nearest neighbour's difference comes from."""
    rows = {row["name"]: row for row in entry["rows"]}
    ours, nearest = rows[FILTER], rows[NEAREST]
    best = max((rows[name] for name in FILTERS), key=lambda row: row["map"])
    text = (
        f"At {entry['size']} pixels on the {entry['title']}, ours has mAP "
        f"{ours['map']:.3f} (neighbouring pixels differ by {ours['sharpness']:.1f}); "
    )
    if best is ours:
        text += "no other filter has more. "
    else:
        chance = "beyond chance" if is_clear(best["change"]) else "within chance"
        text += f"the highest is {best['name']}, {change(best['change'])}, {chance}. "
    if best is not nearest:
        text += f"Nearest neighbour: {change(nearest['change'])}. "
    if is_clear(nearest["change"]):
        text += _split(ours, nearest, rows[SHARPENED])
    for name, row in rows.items():
        if name.startswith(LARGER):
            size = name.removeprefix(LARGER).strip()
            text += f"Ours with an input of {size}: {change(row['change'])}. "
    return text.strip()


def _split(ours: Record, nearest: Record, sharpened: Record) -> str:
    """Divide what nearest neighbour does into sharpness and aliasing."""
    sharp, rest = sharpened["change"], sharpened["rest"]
    sign = 1 if nearest["change"][0] > 0 else -1
    parts = [
        name
        for name, (value, *ends) in (("sharpness", sharp), ("aliasing", rest))
        if is_clear([value, *ends]) and value * sign > 0
    ]
    verb = "explains" if len(parts) == 1 else "explain"
    cause = f"{listed(parts)} {verb} it" if parts else "neither explains it alone"
    return (
        "Ours, sharpened until they differ as after nearest neighbour "
        f"({nearest['sharpness']:.1f}), changes by {change(sharp)}; nearest "
        f"neighbour's aliasing adds {change(rest)} to that: {cause}. "
    )
