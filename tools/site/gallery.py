"""The pages of the pictures: one of all labels, and one for each.

A page shows small copies, which are made here: a page of originals would weigh more
than all lessons together.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable
from html import escape
from pathlib import Path

from PIL import Image

SIZE = 128  # pixels; drawn at 96 to 128
QUALITY = 60

OVERVIEW = """\
# The pictures

{count:,} rendered pictures: {labels} kinds of things, eight of each kind, each thing \
in six views. Views 0 and 1 differ only in angle, views 2 and 3 only in light, views 4 \
and 5 in everything. A kind leads to all its pictures, drawn at half their size. How \
they were made: [dataset card](../images/README.md).

{grid}

```{{toctree}}
:hidden:

{pages}
```
"""
PAGE = """\
# {title}

Eight things in six views each. [All kinds](index.md)

{things}
"""


def read_rows(file: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of the gallery's metadata, by label."""
    rows = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            rows[row["label"]].append(row)
    return dict(sorted(rows.items()))


def make_thumbnail(source: Path, target: Path) -> None:
    """Write a small copy of a picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as picture:
        picture.draft("RGB", (SIZE, SIZE))  # JPEG decodes at half the size by itself
        picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(
            target, quality=QUALITY
        )


def describe(row: dict[str, str]) -> str:
    """Alternative text of a picture: what it shows, from where, in which light."""
    light, height = row["light"].replace("-", " "), float(row["elevation"])
    return f"{row['caption']}, from {height:.0f}° above, light: {light}"


def image(row: dict[str, str], alt: str) -> str:
    """The thumbnail of a picture, as HTML."""
    return (
        f'<img src="thumbnails/{row["file"]}" alt="{escape(alt)}" '
        f'width="{SIZE}" height="{SIZE}" loading="lazy">'
    )


def grid(items: Iterable[str], kind: str) -> str:
    """A list of pictures that wraps, as HTML."""
    return "\n".join([f'<ul class="pictures {kind}">', *items, "</ul>"])


def thing_section(rows: list[dict[str, str]]) -> str:
    """The six views of one thing, below what its first view shows."""
    first = rows[0]
    items = [
        f"<li>{image(row, describe(row))}<span>view {row['view']}"
        f"{'' if row['split'] == 'gallery' else ', ' + row['split']}</span></li>"
        for row in rows
    ]
    title = f"## {first['label'].capitalize()} {first['instance']}"
    return f"{title}\n\nView 0: {first['caption']}.\n\n{grid(items, 'views')}\n"


def label_page(label: str, rows: list[dict[str, str]]) -> str:
    """The page of a label, as Markdown."""
    things = defaultdict(list)
    for row in rows:
        things[row["instance"]].append(row)
    sections = "\n".join(thing_section(views) for views in things.values())
    return PAGE.format(title=label.capitalize(), things=sections)


def write_gallery(images: Path, pages: Path, thumbnails: Path) -> list[str]:
    """Write the pages and the thumbnails.

    Parameters
    ----------
    images : Path
        The gallery, with its ``metadata.csv``.
    pages : Path
        Folder for Markdown.
    thumbnails : Path
        Folder that the built pages see as ``thumbnails``.

    Returns
    -------
    labels : list of str
    """
    by_label = read_rows(images / "metadata.csv")
    pages.mkdir(parents=True)
    items = []
    for label, rows in by_label.items():
        (pages / f"{label}.md").write_text(label_page(label, rows), encoding="utf-8")
        for row in rows:
            make_thumbnail(images / row["file"], thumbnails / row["file"])
        link = f'<a href="{label}.html">{image(rows[0], rows[0]["caption"])}'
        items.append(f"<li>{link}<span>{label}</span></a></li>")
    overview = OVERVIEW.format(
        count=sum(map(len, by_label.values())),
        labels=len(by_label),
        grid=grid(items, "labels"),
        pages="\n".join(by_label),
    )
    (pages / "index.md").write_text(overview, encoding="utf-8")
    return list(by_label)
