"""What the query app says and shows: words and HTML, without a widget.

Names, labels and messages come from outside: they are shortened and escaped here.
"""

import base64
import os
from html import escape
from pathlib import Path

from utils import images
from utils.app.query import Answer, QueryHandler, Question
from utils.collection.folders import clean_path
from utils.collection.hits import Hit
from utils.errors import PictureError, printable
from utils.gallery import ROOT
from utils.images import PictureSource

SIDE, SMALL_SIDE = 136, 76  # pixels of a result's picture, and of a sample's
MAX_NAME = 60  # characters of a file's name that are shown
NO_LABEL = "no label"
# What Jupyter lets through by default (10 MiB), less what else is in the message.
UPLOAD_LIMIT = 10_000_000


def style_html() -> str:
    """Return the style sheet as an element of the page."""
    sheet = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return f"<style>\n{sheet}</style>"


def upload_limit() -> int:
    """Return how many bytes a file may have to get through, as far as we can know.

    A kernel cannot ask the server that it runs under.  `jupyter_server_config.py`
    tells it, by the variable LOOKALIKE_UPLOAD_LIMIT; without it, we take what Jupyter
    lets through on its own.
    """
    said = os.environ.get("LOOKALIKE_UPLOAD_LIMIT", "")
    return int(said) if said.isdecimal() else UPLOAD_LIMIT


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


# --- Sentences -------------------------------------------------------------------


def about(handler: QueryHandler) -> str:
    """Say what is searched, and by what."""
    return (
        f"{len(handler.search)} pictures, {len(handler.labels)} labels, described by "
        f"{handler.network}."
    )


def upload_hint(largest: int, *, instead: str, is_voila: bool) -> str:
    """Say beforehand what will arrive, if the app takes `largest` bytes."""
    limit, most = min(upload_limit(), largest), f"{largest // 1_000_000} MB"
    text = f"JPEG, PNG, WebP, GIF, BMP or TIFF, up to {limit // 1_000_000} MB"
    if limit == largest:
        return f"{text}."
    if is_voila:
        return f"{text}; {most} if Voilà was started in Lookalike's own folder."
    return (
        f"{text}. A larger upload may not get through: {instead}, or start "
        f"Jupyter as the README says (up to {most})."
    )


def summary(name: str, answer: Answer, *, is_upload: bool) -> str:
    """Say how many pictures were found, how long it took, and what to know."""
    embedding = f"{1000 * answer.embedding_seconds:.0f} ms to describe the picture"
    if answer.embedding_seconds == 0:
        embedding = "its description was known"
    known = is_upload and answer.itself is not None
    also = "This very file is in the collection." if known else ""
    return _found(f"like {name}: {embedding}", answer, also)


def summary_of_words(words: str, answer: Answer) -> str:
    """Say how many pictures were found by words alone."""
    reading = f"{1000 * answer.embedding_seconds:.0f} ms to read the words"
    return _found(f"for “{shorten(words)}”: {reading}", answer)


def said_of_mixing(question: Question) -> str:
    """Say how words were mixed with the picture, or nothing."""
    if not question.words:
        return ""
    return f" Mixed with “{shorten(question.words)}”, weight {question.weight:.2f}."


def _found(what: str, answer: Answer, also: str = "") -> str:
    hits, missed = len(answer.hits), len(answer.missed)
    milliseconds = f"{1000 * answer.search_seconds:.2f} ms to search."
    said = [f"{hits} picture{'s' * (hits != 1)} {what}, {milliseconds}"]
    if missed:
        ones = "nearer one was" if missed == 1 else "nearer ones were"
        said.append(f"{missed} {ones} missed by this index.")
    return " ".join(filter(None, [*said, also, answer.note]))


# --- HTML ------------------------------------------------------------------------


def picture_html(
    source: PictureSource, alt: str, *, side: int = SIDE, **limits: int
) -> str:
    """Return an <img>, or a box with words where the picture can't be read."""
    alt, size = escape(alt, quote=True), f"width:{side}px;height:{side}px"
    try:
        jpeg = images.thumbnail(source, 2 * side, **limits)  # sharp when zoomed
    except PictureError:
        words = f"{alt}<br>(can't be shown)"
        return f'<div class="lookalike-box" style="{size}">{words}</div>'
    data = base64.b64encode(jpeg).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{alt}" style="{size}">'


def query_html(source: PictureSource, name: str, **limits: int) -> str:
    """Return the picture that was asked with, and its name."""
    picture = picture_html(source, f"the query, {name}", **limits)
    return f"{picture}query: <b>{escape(name)}</b>"


def result_html(hit: Hit, metric: str, *, missed: bool = False) -> str:
    """Return a result's picture with its label, score and rank."""
    label = shorten(hit.label or NO_LABEL)
    word = "distance" if metric == "Euclidean" else "cosine"
    picture = picture_html(hit.path, f"{label}, {word} {hit.score:.2f}")
    rank = f"missed, true rank {hit.rank}" if missed else f"rank {hit.rank}"
    return f"{picture}<b>{escape(label)}</b> {hit.score:.2f}<br><small>{rank}</small>"


def status_html(message: str, *, is_error: bool = False, is_busy: bool = False) -> str:
    """Return the line that says what happened; screen readers announce it."""
    role, kind = ("alert", " lookalike-alert") if is_error else ("status", "")
    mark = '<span class="lookalike-busy" aria-hidden="true"></span> ' if is_busy else ""
    start = f'<div role="{role}" class="lookalike-status{kind}">{mark}'
    return f"{start}{escape(message)}</div>"
