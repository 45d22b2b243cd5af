"""Results as one HTML page that can be mailed: its pictures are inside it.

Small copies made of pixels alone: no place, no path. File names and labels do show.
"""

import base64
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path, PureWindowsPath

from utils.collection.hits import Hit
from utils.errors import PictureError, expanded, printable
from utils.images import PicturePath, PictureSource, name_of, thumbnail

# Its policy lets nothing be loaded or run, even if a name got past the escaping.
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.4 system-ui, sans-serif; max-width: 72rem; margin: auto;
 padding: 1rem; overflow-wrap: anywhere }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr));
 gap: 1rem; padding: 0; list-style: none }}
figure {{ margin: 0 }}
img {{ width: 100%; aspect-ratio: 1; object-fit: contain }}
li:first-child img {{ outline: 3px solid #3a8fc7 }}
</style>
<h1>{title}</h1>
<p>An outlined picture is a query; its hits follow, with cosine similarities.</p>
{rows}
</html>
"""


def write_report(
    path: PicturePath,
    queries: Sequence[PictureSource],
    hits: Sequence[Sequence[Hit]],
    *,
    labels: Sequence[str] = (),
    title: str = "Similar pictures",
    side: int = 240,
) -> int:
    """Write queries and their hits as a page; return its size in bytes.

    `hits` has a list for each query, and so has `labels` a label ("" for unknown), or
    none at all. No side of a picture is longer than `side` pixels. ValueError if the
    lengths differ; OSError if the page can't be written.
    """
    named = list(labels) or [""] * len(queries)
    if not len(queries) == len(hits) == len(named):
        raise ValueError(
            "expected a list of hits for each query, and a label for each or none. "
            f"Received: {len(queries)} queries, {len(hits)} lists, {len(named)} labels."
        )
    images: dict[Path, str] = {}  # a picture that is found twice is made once
    rows = []
    for query, label, found in zip(queries, named, hits, strict=True):
        cells = [_cell(_image(query, side), "query", label, query)]
        for hit in found:
            if hit.path not in images:
                images[hit.path] = _image(hit.path, side)
            known = label and hit.label
            sign = "" if not known else "✓ " if hit.label == label else "✗ "
            score = f"{sign}{hit.score:.2f}"
            cells.append(_cell(images[hit.path], score, hit.label, hit.path))
        rows.append("<ol>\n" + "\n".join(cells) + "\n</ol>")
    page = PAGE.format(title=_text(title), rows="\n<hr>\n".join(rows))
    content = page.encode()
    Path(expanded(path)).write_bytes(content)
    return len(content)


def _cell(image: str, score: str, label: str, picture: PictureSource) -> str:
    name = PureWindowsPath(os.path.basename(name_of(picture))).name
    caption = f"{score} <b>{_text(label)}</b><br>{_text(name)}"
    return f"<li><figure>{image}<figcaption>{caption}</figcaption></figure></li>"


def _image(picture: PictureSource, side: int) -> str:
    """Return a picture as an element that holds it, or a word in its place."""
    try:
        data = base64.b64encode(thumbnail(picture, side)).decode()
    except PictureError:
        return "<p>can't be shown</p>"
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'


def _text(text: str) -> str:
    return escape(printable(text))
