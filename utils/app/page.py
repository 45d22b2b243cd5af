"""What the query app says, and what its page gets: sentences and plain values.

No HTML is made here: `app.js` shows every name, label and sentence as text.
"""

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from utils import images
from utils.app.query import ALPHA, BETA, GAMMA, Answer, QueryHandler, Question
from utils.collection.folders import clean_path
from utils.collection.hits import Hit
from utils.errors import PictureError, printable
from utils.gallery import ROOT
from utils.images import PictureSource

# Pixels of a picture: two for each of the page's.
SIDE, SAMPLE_SIDE, SMALL_SIDE, QUERY_SIDE = 320, 192, 112, 640
MAX_NAME = 60  # characters of a file's name that are shown
NO_LABEL = "no label"
# Distances of unit vectors: 0 is the same, √2 is at right angles, a cosine of 0.
FAR = 2**0.5
SCALES = {
    "cosine": "Bars: similarity (cosine) from 0 to 1. Longer is nearer.",
    "Euclidean": f"Bars: distance from 0 to {FAR:.2f}. Shorter is nearer.",
}


def find_file(path: str | os.PathLike) -> Path:
    """Return a path as it is, or below the repository if only there is such a file.

    A notebook's own folder is `notebooks`; what people type begins at the top.
    """
    here = clean_path(path)
    below = ROOT / here
    return below if below.is_file() and not here.exists() else here


def shorten(text: str) -> str:
    """Return a name that can be shown: in one line, and not too long."""
    text = printable(text) or "(no name)"
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def quoted(words: str) -> str:
    """Return words that somebody typed, to be shown."""
    return f"“{shorten(words)}”"


# --- Sentences -------------------------------------------------------------------


def about(handler: QueryHandler) -> str:
    """Say what is searched, and by what."""
    n, labels = len(handler.search), len(handler.labels)
    of = f" of {labels} kinds" if labels > 1 else ""
    return f"{n:,} picture{'s' * (n != 1)}{of}, described by {handler.network}."


def formats(largest: int) -> str:
    """Say what files are taken."""
    return f"JPEG, PNG, WebP, GIF, BMP or TIFF, up to {largest / 1e6:g} MB"


def marks(question: Question) -> str:
    """Say which pictures refine a search, or nothing."""
    counts = {"like": len(question.liked), "unlike": len(question.disliked)}
    return " and ".join(f"{n} {word}" for word, n in counts.items() if n)


def asked(name: str, question: Question, *, is_picture: bool) -> str:
    """Say what is searched for: "mug.jpg, a part of it, refined by 2 like"."""
    if not is_picture:
        said = [quoted(question.words)]
    else:
        said = [name] + ["a part of it"] * (question.box is not None)
        if question.words:
            percent = f"{100 * question.weight:.0f} %"
            said.append(f"mixed with {quoted(question.words)} ({percent})")
    refined = marks(question)
    return ", ".join([*said, f"refined by {refined}"] if refined else said)


def formula(question: Question) -> str:
    """Return Rocchio's formula with the numbers of this question, or nothing."""
    if not marks(question):
        return ""
    said = f"q′ = {ALPHA:g} · query"
    if liked := len(question.liked):
        said += f" + {BETA:g} · mean of {liked} like"
    if disliked := len(question.disliked):
        said += f" − {GAMMA:g} · mean of {disliked} unlike"
    return f"{said}, then length 1"


def summary(what: str, answer: Answer, *, is_upload: bool, is_picture: bool) -> str:
    """Say how many pictures were found, how long it took, and what to know."""
    hits, missed = len(answer.hits), len(answer.missed)
    kind = "like" if is_picture else "for"
    said = [f"{hits} picture{'s' * (hits != 1)} {kind} {what}."]
    if folded := sum(map(len, answer.folded.values())):
        ones = "is folded behind its" if folded == 1 else "are folded behind their"
        said.append(f"{folded} more {ones} near-duplicate{'s' * (folded != 1)}.")
    if missed:
        ones = "nearer one was" if missed == 1 else "nearer ones were"
        said.append(f"{missed} {ones} missed by this index.")
    if is_upload and answer.itself is not None:
        said.append("This very file is in the collection.")
    described = "to describe the picture" if is_picture else "to read the words"
    seconds = f"{1000 * answer.embedding_seconds:.0f} ms {described}"
    if answer.embedding_seconds == 0:
        seconds = "Its description was known"
    said.append(f"{seconds}, {1000 * answer.search_seconds:.2f} ms to search.")
    return " ".join(filter(None, [*said, answer.note]))


def why_not(error: Exception) -> str:
    """Say an error in a sentence for people, who cannot raise a function's limits."""
    text = error.args[0] if isinstance(error, KeyError) else str(error)
    return "Not done: " + re.sub(r",? or raise max_\w+[^.]*", "", printable(str(text)))


# --- Pictures and results --------------------------------------------------------


def picture(source: PictureSource, side: int, **limits: int) -> bytes | None:
    """Return a small JPEG of a picture, or None where it can't be read."""
    try:
        if isinstance(source, str | os.PathLike):
            return _of_file(os.fspath(source), side, os.stat(source).st_mtime_ns)
        return images.thumbnail(source, side, **limits)
    except (PictureError, OSError):
        return None


@lru_cache(maxsize=512)
def _of_file(path: str, side: int, modified: int) -> bytes:
    return images.thumbnail(path, side)


def card(hit: Hit, question: Question, folded: Iterable[Hit] = ()) -> dict[str, Any]:
    """Return what the page shows of a result."""
    label = shorten(hit.label or NO_LABEL)
    similar = question.metric == "cosine"
    share = hit.score if similar else hit.score / FAR
    score = f"{hit.score:.2f}"
    return {
        "id": hit.id,
        "rank": hit.rank,
        "label": label,
        "has_label": bool(hit.label),
        "name": shorten(hit.path.name),
        "score": score,
        "alt": f"{label}, " + (f"{score} similar" if similar else f"distance {score}"),
        "share": round(min(1, max(0, share)), 3),  # of the bar
        "picture": picture(hit.path, SIDE),
        "mark": (hit.id in question.liked) - (hit.id in question.disliked),
        "folded": [card(other, question) for other in folded],
    }


def small_card(handler: QueryHandler, id: int) -> dict[str, Any] | None:
    """Return what the page shows of a picture that refines a search, or has gone."""
    item = handler.search.items.get(id)
    if item is None:
        return None
    label = shorten(item.label or item.path.name)
    return {"id": id, "label": label, "picture": picture(item.path, SMALL_SIDE)}
