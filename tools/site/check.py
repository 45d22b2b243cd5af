"""Read the built pages as a browser would, and say what is wrong with them.

Links and anchors must lead somewhere within the site, every picture needs an
alternative text, and nothing may be loaded from elsewhere. Links that a reader
follows to other sites are not tried: that needs a network.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches without being asked to.
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
LOADED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload"}
IN_STYLE = re.compile(r"(?:@import\s*|url\()\s*['\"]?([^'\")\s]+)")


class Page(HTMLParser):
    """What a page names and refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.pictures_without_text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if tag == "link" and LOADED_LINKS & set(given.get("rel", "").split()):
            self.loads.add(given["href"])
        elif tag in LOADED and given.get(LOADED[tag]):
            self.loads.add(given[LOADED[tag]])
        self.loads |= {
            part.split()[0] for part in given.get("srcset", "").split(",") if part
        }
        self.loads |= set(IN_STYLE.findall(given.get("style", "")))
        if tag == "img" and not given.get("alt", "").strip():
            self.pictures_without_text.append(given.get("src", ""))


def is_elsewhere(link: str) -> bool:
    """Whether a link leaves the site.

    Examples
    --------
    >>> [is_elsewhere(link) for link in ("//cdn.org/x.js", "x.js#top", "data:,")]
    [True, False, False]
    """
    parts = urlsplit(link)
    return bool(parts.netloc) or parts.scheme not in ("", "data", "mailto")


def find_faults(site: Path) -> list[str]:
    """Faults of a built site, one sentence each; none is as it should be.

    Parameters
    ----------
    site : Path
    """
    pages = {
        path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")
    }
    faults = []
    for path, page in sorted(pages.items()):
        name = path.relative_to(site).as_posix()
        for picture in page.pictures_without_text:
            faults.append(f"{name}: {picture} has no alternative text.")
        for link in sorted(page.links | page.loads):
            if is_elsewhere(link):
                if link in page.loads:
                    faults.append(f"{name}: {link} is fetched from elsewhere.")
            elif fault := find_dead_end(path, link, pages):
                faults.append(f"{name}: {link} {fault}.")
    for path in sorted(site.rglob("*.css")):
        for link in IN_STYLE.findall(path.read_text(encoding="utf-8")):
            if is_elsewhere(link):
                name = path.relative_to(site).as_posix()
                faults.append(f"{name}: {link} is fetched from elsewhere.")
    return faults


def find_dead_end(path: Path, link: str, pages: dict[Path, Page]) -> str:
    """What is wrong with a link within the site; "" if it leads somewhere."""
    parts = urlsplit(link)
    if parts.scheme:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "leads to a file that is not there"
    anchor = unquote(parts.fragment)
    if target in pages and anchor not in pages[target].anchors:
        return "leads to an anchor that is not there"
    return ""
