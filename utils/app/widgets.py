"""The interactive query: a small app in a notebook, or a page by itself under Voilà.

It shows and passes values; `utils.app.query` decides.  So the app can be tested without a
browser, and whatever it finds a program finds, too.

>>> QueryApp(QueryHandler(search))                                # doctest: +SKIP
"""

import asyncio
import base64
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as w

from utils import images
from utils.app.query import METRICS, Answer, QueryHandler, Question
from utils.collection.search import Hit
from utils.errors import LookalikeError, PictureError, printable

ROOT = Path(__file__).parents[2]
SIDE, SMALL_SIDE = 136, 76  # pixels of a result's picture, and of a sample's
MAX_K = 20
MAX_NAME = 60  # characters of a file's name that are shown
ANY = "any"
NO_LABEL = "no label"
# What Jupyter lets through by default (10 MiB), less what else is in the message.
UPLOAD_LIMIT = 10_000_000
INDEX_NAMES = {
    "Flat: exact": "Flat",
    "IVF: some cells": "IVF",
    "HNSW: a graph": "HNSW",
}
# A tile's button reaches over the whole tile: a click on the picture is a click on it.
# Jupyter's own colours where there are any, so that a dark page stays readable.
STYLE = """<style>
.lookalike{--ink:var(--jp-content-font-color1,#222);--line:var(--jp-border-color2,#ccc);
  --alarm:var(--jp-error-color0,#b30000);gap:12px;max-width:960px;padding:4px;
  overflow:visible}
.lookalike .widget-html-content{line-height:1.4}
.lookalike .lookalike-row{flex-flow:row wrap;gap:8px 12px;align-items:center;
  overflow:visible}
.lookalike .lookalike-top{align-items:flex-start}
.lookalike small{color:var(--jp-ui-font-color2,#555);line-height:1.4;display:block}
.lookalike .lookalike-status{border-left:4px solid var(--jp-brand-color1,#1976d2);
  padding:6px 12px;overflow-wrap:anywhere;line-height:1.4;color:var(--ink)}
.lookalike .lookalike-alert{border-left-color:var(--alarm)}
.lookalike-busy{display:inline-block;width:.8em;height:.8em;border:2px solid #999;
  border-top-color:#222;border-radius:50%;animation:lookalike 1s linear infinite}
@keyframes lookalike{to{transform:rotate(360deg)}}
@media(prefers-reduced-motion:reduce){.lookalike-busy{animation:none}}
.lookalike img,.lookalike .lookalike-box{display:block;object-fit:contain;
  margin:0 0 6px;background:var(--jp-layout-color2,#f4f4f4);border-radius:3px}
.lookalike .lookalike-query{width:180px;overflow-wrap:anywhere}
.lookalike .lookalike-tile{position:relative;padding:6px;margin:0;overflow:visible;
  border:1px solid var(--line);border-radius:6px;max-width:152px;overflow-wrap:anywhere}
.lookalike .lookalike-missed{border:2px dashed var(--alarm);padding:5px}
.lookalike .lookalike-tile button{position:static;width:100%;margin:4px 0 0;
  padding:0 2px}
.lookalike .lookalike-tile button::after{content:"";position:absolute;inset:0;
  border-radius:6px}
.lookalike .lookalike-tile:hover{background:var(--jp-layout-color2,#f4f4f4)}
.lookalike .lookalike-tile button:focus-visible::after{
  outline:3px solid var(--jp-brand-color1,#1976d2)}
</style>"""
SPINNER = '<span class="lookalike-busy" aria-hidden="true"></span> '


def upload_limit() -> int:
    """Return how many bytes a file may have to get through, as far as we can know.

    A kernel cannot ask the server that it runs under.  `jupyter_server_config.py`
    tells it, by the variable LOOKALIKE_UPLOAD_LIMIT; without it, we take what Jupyter
    lets through on its own.
    """
    said = os.environ.get("LOOKALIKE_UPLOAD_LIMIT", "")
    return int(said) if said.isdecimal() else UPLOAD_LIMIT


def _found(path: str | Path) -> Path:
    """Return a path as it is, or below the repository if only there is such a file.

    A notebook's own folder is `notebooks`; what people type begins at the top.
    """
    path = Path(path).expanduser()
    below = ROOT / path
    return below if below.is_file() and not path.exists() else path


class Picture(NamedTuple):
    """What the app asks with: bytes that came in, or a picture of the collection."""

    name: str
    data: bytes | None = None
    id: int | None = None


class QueryApp(w.VBox):
    """Upload a picture, choose how to search, see what is like it, go on from there.

    Parameters
    ----------
    handler : QueryHandler
    samples : sequence of path
        Pictures to begin with, one button each.
    paths : bool
        Offer a box for the path of a file.  It opens any picture that this computer's
        user may read: switch it off where strangers see the page.

    Attributes
    ----------
    answer : Answer or None
        What is shown now.
    message : str
        The status line as plain text.
    error : Exception or None
        Why the last action failed; the status line says it in words.
    """

    def __init__(
        self,
        handler: QueryHandler,
        *,
        samples: Sequence[str | Path] = (),
        paths: bool = True,
    ) -> None:
        super().__init__()
        self.handler = handler
        self.answer: Answer | None = None
        self.message = ""
        self.error: Exception | None = None
        self._picture: Picture | None = None
        self._before: list[Picture] = []
        self._quiet = False
        # JupyterLab may have a kernel take the messages of two widgets in two threads.
        self._lock = threading.RLock()
        # Voilà runs a notebook before there is a page; Jupyter shows it in one.
        self._voila = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
        self._seen = not self._voila
        self._page_call: asyncio.TimerHandle | None = None
        self._paths = paths
        self._make_doors()
        self._make_controls()
        self._make_memory()
        self.status, self.query = w.HTML(), w.HTML()
        self.query.add_class("lookalike-query")
        self.results, self.missed = _row([]), _row([])
        self.add_class("lookalike")
        self.children = self._arrange([self._sample(path) for path in samples])
        self._say("Choose a picture to begin.")

    def __repr__(self) -> str:
        return f"QueryApp over {self.handler.search!r}"

    # --- What can be done: by a click, or by a program ---------------------------

    @property
    def question(self) -> Question:
        """What the controls say."""
        return Question(
            k=self.k.value,
            index=self.index.value,
            nprobe=self.nprobe.value,
            metric=self.metric.value,
            label=None if self.label.value == ANY else self._labels[self.label.value],
        )

    def ask(self, data: bytes, name: str = "the picture") -> None:
        """Search with a picture's bytes and show what was found, or why not."""
        self._try(lambda: self._show(Picture(_short(name), data=bytes(data))))

    def ask_path(self, path: str | Path) -> None:
        """Search with the file at a path: from here, or from Lookalike's own folder."""

        def work() -> str:
            if not str(path).strip():
                raise LookalikeError("type the path of a picture first.")
            data = self.handler.read(_found(path))
            return self._show(Picture(_short(Path(path).name), data=data))

        self._try(work)

    def ask_id(self, key: int) -> None:
        """Search with a picture of the collection: this is how to wander."""

        def work() -> str:
            name = _short(self.handler.search.path_of(key).name)
            return self._show(Picture(name, id=key))

        self._try(work)

    def go_back(self) -> None:
        """Return to the picture before this one."""
        with self._lock:
            if self._before:
                self._try(lambda: self._show(self._before[-1], back=True))

    def remember_picture(self) -> None:
        """Add the picture that came in to the collection, under the label typed."""
        self._try(self._remember)

    # --- The parts ---------------------------------------------------------------

    def _make_upload(self) -> w.FileUpload:
        upload = w.FileUpload(
            accept="image/*",
            description="Upload a picture",
            tooltip="Choose one picture from your disk",
            layout=w.Layout(width="180px"),
        )
        upload.observe(self._on_upload, "value")
        return upload

    def _make_doors(self) -> None:
        self.upload = self._make_upload()
        self.path = w.Text(
            description="or its path",
            placeholder="images/mug/mug_0_5.jpg",
            continuous_update=False,
            layout=w.Layout(width="420px"),
            style={"description_width": "initial"},
        )
        self.path.observe(self._on_path, "value")
        self.open_button = w.Button(
            description="Open",
            tooltip="Search with this file",
            layout=w.Layout(width="90px"),
        )
        self.open_button.on_click(lambda _: self.ask_path(self.path.value))
        by_path = [self.path, self.open_button] if self._paths else []
        self.doors = _row([self.upload, *by_path])

    def _make_controls(self) -> None:
        cells = self.handler.cells
        self.k = _number("k, how many", 5, MAX_K)
        self.index = _choice("index", INDEX_NAMES, "180px")
        self.nprobe = _number("nprobe", min(4, cells), cells)
        self.nprobe.disabled = True  # until the index is an IVF
        self.metric = _choice("metric", list(METRICS), "160px")
        self.label = _choice("label", [ANY], "200px")
        self._fill_labels()
        for control in (self.k, self.index, self.nprobe, self.metric, self.label):
            control.observe(self._on_control, "value")

    def _make_memory(self) -> None:
        self.back = w.Button(
            description="Back", disabled=True, tooltip="To the picture before this one"
        )
        self.back.on_click(lambda _: self.go_back())
        self.name = w.Text(
            description="its label",
            placeholder="what it is",
            continuous_update=False,
            style={"description_width": "initial"},
            layout=w.Layout(width="240px"),
        )
        self.remember = w.Button(
            description="Remember this picture",
            tooltip="Add it to the collection, under this label",
            disabled=True,
            layout=w.Layout(width="180px"),
        )
        self.remember.on_click(lambda _: self.remember_picture())

    def _arrange(self, samples: list[w.Widget]) -> list[w.Widget]:
        self.about = w.HTML(self._about())
        self.hint = w.HTML(f"<small>{escape(self._hint())}</small>")
        self.samples = _row(samples)
        beside = w.VBox([self.back, _row([self.name, self.remember])])
        self.desk = _row([self.query, beside], top=True)
        self.desk.layout.display = "none"  # until there is a query
        return [
            w.HTML(STYLE, layout=w.Layout(display="none")),
            self.about,
            self.doors,
            self.hint,
            self.samples,
            _row([self.k, self.index, self.nprobe, self.metric, self.label]),
            self.status,
            self.desk,
            self.results,
            self.missed,
        ]

    def _hint(self) -> str:
        """Say beforehand what will arrive."""
        largest = self.handler.limits["max_bytes"]
        limit, most = min(upload_limit(), largest), f"{largest // 1_000_000} MB"
        text = f"JPEG, PNG, WebP, GIF, BMP or TIFF, up to {limit // 1_000_000} MB"
        if limit == largest:
            return f"{text}."
        if self._voila:
            return f"{text}; {most} if Voilà was started in Lookalike's own folder."
        return (
            f"{text}. A larger upload may not get through: {self._instead()}, or start "
            f"Jupyter as the README says (up to {most})."
        )

    def _instead(self) -> str:
        return "type its path instead" if self._paths else "make it smaller"

    def _about(self) -> str:
        search = self.handler.search
        return escape(
            f"{len(search)} pictures, {len(self.handler.labels)} labels, described by "
            f"ResNet50 with {self.handler.weights} weights."
        )

    def _sample(self, path: str | Path) -> w.VBox:
        name = _short(Path(path).stem)
        picture = _picture_html(path, f"sample {name}", side=SMALL_SIDE)
        return _tile(picture, name, "Search with this sample", self._go(path))

    def _fill_labels(self) -> None:
        """Offer the labels of the collection; the one that is chosen stays chosen."""
        chosen, self._quiet = self.label.value, True
        self._labels = {_short(label): label for label in self.handler.labels}
        self.label.options = [ANY, *self._labels]
        self.label.value = chosen if chosen in self.label.options else ANY
        self._quiet = False

    # --- When a page comes back --------------------------------------------------

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        """Return what a page shows; one that asks for all of it has just connected.

        That is how we learn of an upload that was too large.  Jupyter answers it by
        closing the connection; the page connects again, and its button waits for ever
        for an answer to that upload.
        """
        if key is None and self.comm is not None and self._page_call is None:
            try:  # not now: our caller is looking through all widgets
                loop = asyncio.get_running_loop()
                self._page_call = loop.call_later(0.2, self._on_page)
            except RuntimeError:  # no loop, so there is no page either
                pass
        return super().get_state(key, drop_defaults)

    def _on_page(self) -> None:
        """Put a new upload button in place, and say what may have happened."""
        self._page_call, was_seen, self._seen = None, self._seen, True
        if not was_seen:
            return
        old, self.upload = self.upload, self._make_upload()
        self.doors.children = [self.upload, *self.doors.children[1:]]
        _close(old)
        self.error = LookalikeError(
            "The page lost touch with Jupyter, and is back. If you were uploading a "
            f"picture, it was too large to get through: {self._instead()}."
        )
        self._say(str(self.error))

    # --- Callbacks: they pass values on, nothing else ----------------------------

    def _go(self, target: int | str | Path) -> Callable[[w.Button], None]:
        ask = self.ask_id if isinstance(target, int) else self.ask_path
        return lambda _: ask(target)

    def _on_upload(self, change: dict[str, Any]) -> None:
        files = change["new"]
        if not files:  # a dialog that was cancelled, or our own reset below
            return
        try:
            self.ask(files[0]["content"], files[0]["name"])
        finally:
            self.upload.value = ()  # or the same picture again would not be noticed
        if len(files) > 1:
            self._say(f"{self.message} (The first of {len(files)} files.)")

    def _on_path(self, change: dict[str, Any]) -> None:
        if change["new"].strip():  # Enter, or the keyboard's focus goes on
            self.ask_path(change["new"])

    def _on_control(self, change: dict[str, Any]) -> None:
        self.nprobe.disabled = self.index.value != "IVF"
        if self._picture is not None and not self._quiet:
            self._try(lambda: self._show(self._picture))

    # --- Asking and showing ------------------------------------------------------

    def _try(self, work: Callable[[], str]) -> None:
        """Do something that takes a moment; whatever happens, say it in a sentence."""
        with self._lock:
            self.error = None
            self._say("Working …", busy=True)
            try:
                self._say(work())
            except (LookalikeError, ValueError, KeyError, OSError) as error:
                self.error = error
                text = error.args[0] if isinstance(error, KeyError) else str(error)
                self._say(f"Not done: {text}")
            except Exception as error:  # noqa: BLE001, a traceback would end in a log
                self.error = error
                kind = type(error).__name__
                self._say(f"Not done, by a mistake of this program: {kind}: {error}")

    def _show(self, picture: Picture, *, back: bool = False) -> str:
        """Ask, and put the answer in place of the last one; return what to say."""
        if picture.id is None:
            answer = self.handler.answer(picture.data, self.question, name=picture.name)
        else:
            answer = self.handler.answer_id(picture.id, self.question)
        if back:
            self._before.pop()
        elif self._picture not in (None, picture):
            self._before.append(self._picture)
        self._picture, self.answer = picture, answer
        self.query.value = self._query_html(picture)
        self.desk.layout.display = None
        self.back.disabled = not self._before
        self.remember.disabled = picture.data is None
        self._replace_results(answer)
        return self._summary(picture, answer)

    def _replace_results(self, answer: Answer) -> None:
        """Show new tiles.  A late click on an old one must not hit a new picture."""
        old = [*self.results.children, *self.missed.children]
        word = "cosine" if self.question.metric == "cosine" else "distance"
        self.results.children = [self._result(hit, word) for hit in answer.hits]
        self.missed.children = [
            self._result(hit, word, missed=True) for hit in answer.missed
        ]
        for tile in old:
            _close(tile)

    def _result(self, hit: Hit, word: str, *, missed: bool = False) -> w.VBox:
        label = _short(hit.label or NO_LABEL)
        html = _picture_html(hit.path, f"{label}, {word} {hit.score:.2f}")
        what = f"missed, true rank {hit.rank}" if missed else f"rank {hit.rank}"
        html += f"<b>{escape(label)}</b> {hit.score:.2f}<br><small>{what}</small>"
        name = f"More: missed {hit.rank}" if missed else f"More like no. {hit.rank}"
        tile = _tile(html, name, f"Search with this {label}", self._go(hit.id))
        if missed:
            tile.add_class("lookalike-missed")
        return tile

    def _query_html(self, picture: Picture) -> str:
        search, limits = self.handler.search, self.handler.limits
        source = search.path_of(picture.id) if picture.data is None else picture.data
        html = _picture_html(source, f"the query, {picture.name}", limits=limits)
        return f"{html}query: <b>{escape(picture.name)}</b>"

    def _summary(self, picture: Picture, answer: Answer) -> str:
        embedding = f"{1000 * answer.embedding_seconds:.0f} ms to describe the picture"
        if answer.embedding_seconds == 0:
            embedding = "its description was known"
        hits, missed = len(answer.hits), len(answer.missed)
        said = [
            f"{hits} picture{'s' * (hits != 1)} like {picture.name}: {embedding}, "
            f"{1000 * answer.search_seconds:.2f} ms to search."
        ]
        if missed:
            ones = "nearer one was" if missed == 1 else "nearer ones were"
            said.append(f"{missed} {ones} missed by this index.")
        if picture.data is not None and answer.itself is not None:
            said.append("This very file is in the collection.")
        return " ".join([*said, answer.note]).strip()

    def _remember(self) -> str:
        if self._picture is None or self._picture.data is None:
            raise LookalikeError("upload a picture first, or type its path.")
        hit = self.handler.remember(self._picture.data, self.name.value)
        self._fill_labels()
        self.about.value = self._about()
        self._show(self._picture)
        label = hit.label or NO_LABEL
        return f"Remembered as number {hit.id}, {label}. It now finds itself."

    def _say(self, text: str, *, busy: bool = False) -> None:
        self.message = printable(text)
        role, kind, mark = "status", "lookalike-status", SPINNER if busy else ""
        if self.error:
            role, kind = "alert", "lookalike-status lookalike-alert"
        text = f"{mark}{escape(self.message)}"
        self.status.value = f'<div role="{role}" class="{kind}">{text}</div>'


# --- HTML: everything that comes from outside is escaped -------------------------


def _picture_html(
    source: Any,
    alt: str,
    *,
    side: int = SIDE,
    limits: dict[str, int] | None = None,
) -> str:
    """Return an <img>, or a box with words where the picture can't be read."""
    alt, size = escape(alt, quote=True), f"width:{side}px;height:{side}px"
    try:
        jpeg = images.thumbnail(source, 2 * side, **(limits or {}))  # sharp when zoomed
    except PictureError:
        words = f"{alt}<br>(can't be shown)"
        return f'<div class="lookalike-box" style="{size}">{words}</div>'
    data = base64.b64encode(jpeg).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{alt}" style="{size}">'


def _tile(
    html: str, name: str, tooltip: str, on_click: Callable[[w.Button], None]
) -> w.VBox:
    """Return a picture with a button below it; both can be clicked."""
    button = w.Button(description=name, tooltip=tooltip)
    button.on_click(on_click)
    tile = w.VBox([w.HTML(html), button])
    tile.add_class("lookalike-tile")
    return tile


def _number(description: str, value: int, largest: int) -> w.BoundedIntText:
    return w.BoundedIntText(
        value,
        1,
        largest,
        description=description,
        continuous_update=False,
        style={"description_width": "initial"},
        layout=w.Layout(width="max-content"),
    )


def _choice(description: str, options: Any, width: str) -> w.Dropdown:
    return w.Dropdown(
        options=options,
        description=description,
        style={"description_width": "initial"},
        layout=w.Layout(width=width),
    )


def _close(widget: w.Widget) -> None:
    """Close a widget with all that belongs to it, so that nothing stays in memory."""
    for child in getattr(widget, "children", ()):
        _close(child)
    for part in (
        widget,
        getattr(widget, "layout", None),
        getattr(widget, "style", None),
    ):
        if part is not None:
            part.close()


def _row(children: Iterable[w.Widget], *, top: bool = False) -> w.HBox:
    """Return children side by side, in as many lines as the page's width asks for."""
    row = w.HBox(list(children), layout=w.Layout(flex_flow="row wrap"))
    row.add_class("lookalike-row")
    if top:
        row.add_class("lookalike-top")
    return row


def _short(text: str) -> str:
    """Return a name that can be shown: in one line, and not too long."""
    text = printable(str(text)) or "(no name)"
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"
