"""The interactive query: a small app in a notebook, or a page by itself under Voilà.

It shows and passes values; `utils.app.query` decides, and the words and the HTML are
in `utils.app.page`.  So the app can be tested without a browser, and whatever it finds
a program finds, too.

>>> QueryApp(QueryHandler(search))                                # doctest: +SKIP
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as w

from utils.app import page
from utils.app.query import SCORES, Answer, QueryHandler, Question
from utils.collection.hits import Hit
from utils.errors import LookalikeError, printable

MAX_K = 20
ANY = "any"  # label
INDEX_NAMES = {"Flat: exact": "Flat", "IVF: some cells": "IVF", "HNSW: a graph": "HNSW"}


class Upload(NamedTuple):
    """A picture that came in."""

    name: str
    data: bytes


class Row(w.HBox):
    """Widgets side by side, in as many lines as the page's width asks for."""

    def __init__(self, children: Iterable[w.Widget] = ()) -> None:
        super().__init__(list(children), layout=w.Layout(flex_flow="row wrap"))
        self.add_class("lookalike-row")


class Doors(Row):
    """Where pictures come in: an upload button, and perhaps a box for a path.

    `on_upload` gets what FileUpload says of the files that were chosen, `on_path` what
    was typed.
    """

    def __init__(
        self,
        on_upload: Callable[[Sequence[dict[str, Any]]], None],
        on_path: Callable[[str], None],
        *,
        paths: bool,
    ) -> None:
        super().__init__()
        self._on_files, self._on_typed = on_upload, on_path
        example = "images/mug/mug_0_5.jpg"
        self.path = _labelled(w.Text, "or its path", "420px", placeholder=example)
        self.path.continuous_update = False
        self.path.observe(self._on_path, "value")
        self.open_button = _button(
            "Open", "Search with this file", lambda: on_path(self.path.value), "90px"
        )
        self._by_path = [self.path, self.open_button] if paths else []
        self.renew()

    def renew(self) -> None:
        """Put a new upload button in place of one that waits in vain, or of none."""
        old = getattr(self, "upload", None)
        self.upload = w.FileUpload(
            accept="image/*",
            description="Upload a picture",
            tooltip="Choose one picture from your disk",
            layout=w.Layout(width="180px"),
        )
        self.upload.observe(self._on_upload, "value")
        self.children = [self.upload, *self._by_path]
        if old is not None:
            _close(old)

    def _on_upload(self, change: dict[str, Any]) -> None:
        if not change["new"]:  # a dialog that was cancelled, or our own reset below
            return
        try:
            self._on_files(change["new"])
        finally:
            self.upload.value = ()  # or the same picture again would not be noticed

    def _on_path(self, change: dict[str, Any]) -> None:
        if change["new"].strip():  # Enter, or the keyboard's focus goes on
            self._on_typed(change["new"])


class Controls(Row):
    """How to search; `on_change` is called when that is another question."""

    def __init__(self, handler: QueryHandler, on_change: Callable[[], None]) -> None:
        super().__init__()
        self._handler, self._on_change, self._quiet = handler, on_change, False
        self.k = _number("k, how many", 5, MAX_K)
        self.index = _labelled(w.Dropdown, "index", "180px", options=INDEX_NAMES)
        self.nprobe = _number("nprobe", min(4, handler.cells), handler.cells)
        self.nprobe.disabled = True  # until the index is an IVF
        self.metric = _labelled(w.Dropdown, "metric", "160px", options=list(SCORES))
        self.label = _labelled(w.Dropdown, "label", "200px", options=[ANY])
        self.words = _labelled(w.Text, "words", "300px", placeholder="a red one")
        self.words.continuous_update = False
        self.weight = _labelled(
            w.FloatSlider, "their weight", "300px", value=0.5, max=1, step=0.05
        )
        self.weight.continuous_update = False
        by_words = [self.words, self.weight] if handler.takes_words else []
        self.children = [self.k, self.index, self.nprobe, self.metric, self.label]
        self.children += tuple(by_words)
        self.fill_labels()
        for control in self.children:
            control.observe(self._on_control, "value")

    @property
    def question(self) -> Question:
        """What the controls say."""
        return Question(
            k=self.k.value,
            index=self.index.value,
            nprobe=self.nprobe.value,
            metric=self.metric.value,
            label=None if self.label.value == ANY else self._labels[self.label.value],
            words=self.words.value.strip(),
            weight=self.weight.value,
        )

    def fill_labels(self) -> None:
        """Offer the labels of the collection; the one that is chosen stays chosen."""
        chosen, self._quiet = self.label.value, True
        self._labels = {page.shorten(label): label for label in self._handler.labels}
        self.label.options = [ANY, *self._labels]
        self.label.value = chosen if chosen in self.label.options else ANY
        self._quiet = False

    def _on_control(self, change: dict[str, Any]) -> None:
        self.nprobe.disabled = self.index.value != "IVF"
        if not self._quiet:
            self._on_change()


class Desk(Row):
    """The picture that is asked with, and what can be done with it."""

    def __init__(
        self, on_back: Callable[[], None], on_remember: Callable[[], None]
    ) -> None:
        super().__init__()
        self.add_class("lookalike-top")
        self.layout.display = "none"  # until there is a picture
        self.query = w.HTML()
        self.query.add_class("lookalike-query")
        self.back = _button("Back", "To the picture before this one", on_back)
        self.name = _labelled(w.Text, "its label", "240px", placeholder="what it is")
        self.name.continuous_update = False
        tip = "Add it to the collection, under this label"
        self.remember = _button("Remember this picture", tip, on_remember, "180px")
        self.back.disabled = self.remember.disabled = True
        beside = w.VBox([self.back, Row([self.name, self.remember])])
        self.children = [self.query, beside]

    def show(self, html: str, *, can_go_back: bool, can_remember: bool) -> None:
        """Put a picture on the desk."""
        self.query.value, self.layout.display = html, None
        self.back.disabled, self.remember.disabled = not can_go_back, not can_remember


class QueryApp(w.VBox):
    """Upload a picture, choose how to search, see what is like it, go on from there.

    `samples` are pictures to begin with, one button each.  `paths` offers a box for the
    path of a file.  It opens any picture that this computer's user may read: switch it
    off where strangers see the page.
    """

    def __init__(
        self,
        handler: QueryHandler,
        *,
        samples: Sequence[str | os.PathLike] = (),
        paths: bool = True,
    ) -> None:
        super().__init__()
        self.handler = handler
        self.answer: Answer | None = None  # what is shown now
        self.message = ""  # the status line as plain text
        self.error: Exception | None = None  # why the last action failed
        self._picture: Upload | int | None = None  # an int is an id
        self._before: list[Upload | int] = []
        # JupyterLab may have a kernel take the messages of two widgets in two threads.
        self._lock = threading.RLock()
        # Voilà runs a notebook before there is a page; Jupyter shows it in one.
        is_voila = os.environ.get("SERVER_SOFTWARE", "").startswith("voila")
        self._seen = not is_voila
        self._page_call: asyncio.TimerHandle | None = None
        self._instead = "type its path instead" if paths else "make it smaller"

        self.doors = Doors(self._on_upload, self.ask_path, paths=paths)
        self.controls = Controls(handler, self._on_control)
        self.desk = Desk(self.go_back, self.remember_picture)
        self.about, self.hint, self.status = w.HTML(), w.HTML(), w.HTML()
        hint = page.upload_hint(
            handler.limits["max_bytes"], instead=self._instead, is_voila=is_voila
        )
        self.hint.value = f"<small>{escape(hint)}</small>"
        self.about.value = escape(page.about(handler))
        self.samples = Row([self._sample(path) for path in samples])
        self.results, self.missed = Row([]), Row([])
        self.add_class("lookalike")
        self.children = [
            w.HTML(page.style_html(), layout=w.Layout(display="none")),
            *(self.about, self.doors, self.hint, self.samples, self.controls),
            *(self.status, self.desk, self.results, self.missed),
        ]
        self._say("Choose a picture to begin.")

    def __repr__(self) -> str:
        return f"QueryApp over {self.handler.search!r}"

    # --- What can be done: by a click, or by a program ---------------------------

    def ask(self, data: bytes, name: str = "the picture") -> None:
        """Search with a picture's bytes and show what was found, or why not."""
        self._try(lambda: self._show(Upload(page.shorten(name), bytes(data))))

    def ask_path(self, path: str | os.PathLike) -> None:
        """Search with the file at a path: from here, or from Lookalike's own folder."""

        def work() -> str:
            if not os.fsdecode(path).strip():
                raise LookalikeError("type the path of a picture first.")
            found = page.find_file(path)
            data = self.handler.read(found)
            return self._show(Upload(page.shorten(found.name), data))

        self._try(work)

    def ask_id(self, id: int) -> None:
        """Search with a picture of the collection: this is how to wander."""
        self._try(lambda: self._show(id))

    def go_back(self) -> None:
        """Return to the picture before this one."""
        with self._lock:
            if self._before:
                self._try(lambda: self._show(self._before[-1], back=True))

    def remember_picture(self) -> None:
        """Add the picture that came in to the collection, under the label typed."""
        self._try(self._remember)

    # --- When a page comes back --------------------------------------------------

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        """Return what a page shows; one that asks for all of it has just connected.

        That is how we learn of an upload that was too large.  Jupyter answers it by
        closing the connection; the page connects again, and its button hangs, waiting
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
        self.doors.renew()
        self.error = LookalikeError(
            "The page lost touch with Jupyter, and is back. If you were uploading a "
            f"picture, it was too large to get through: {self._instead}."
        )
        self._say(str(self.error))

    # --- Callbacks: they pass values on, nothing else ----------------------------

    def _on_upload(self, files: Sequence[dict[str, Any]]) -> None:
        self.ask(files[0]["content"], files[0]["name"])
        if len(files) > 1:
            self._say(f"{self.message} (The first of {len(files)} files.)")

    def _on_control(self) -> None:
        if self._picture is not None or self.controls.question.words:
            self._try(lambda: self._show(self._picture))

    # --- Asking and showing ------------------------------------------------------

    def _try(self, work: Callable[[], str]) -> None:
        """Do something that takes a moment; whatever happens, say it in a sentence."""
        with self._lock:
            self.error = None
            self._say("Working …", is_busy=True)
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

    def _show(self, picture: Upload | int | None, *, back: bool = False) -> str:
        """Ask, and put the answer in place of the last one; return what to say."""
        handler, question = self.handler, self.controls.question
        if picture is None:  # words alone
            self.answer = handler.answer_words(question)
            self._replace_results(self.answer, question.metric)
            return page.summary_of_words(question.words, self.answer)
        is_upload = isinstance(picture, Upload)
        source: bytes | Path
        if isinstance(picture, Upload):
            name, source = picture
            answer = handler.answer(source, question, name=name)
        else:
            source = handler.search.path_of(picture)
            name = page.shorten(source.name)
            answer = handler.answer_id(picture, question)
        if back:
            self._before.pop()
        elif self._picture is not None and self._picture != picture:
            self._before.append(self._picture)
        self._picture, self.answer = picture, answer
        self._replace_results(answer, question.metric)
        self.desk.show(
            page.query_html(source, name, **handler.limits),
            can_go_back=bool(self._before),
            can_remember=is_upload,
        )
        said = page.summary(name, answer, is_upload=is_upload)
        return said + page.said_of_mixing(question)

    def _replace_results(self, answer: Answer, metric: str) -> None:
        """Show new tiles.  A late click on an old one must not hit a new picture."""
        old = [*self.results.children, *self.missed.children]
        self.results.children = [self._result(hit, metric) for hit in answer.hits]
        self.missed.children = [
            self._result(hit, metric, missed=True) for hit in answer.missed
        ]
        for tile in old:
            _close(tile)

    def _result(self, hit: Hit, metric: str, *, missed: bool = False) -> w.VBox:
        tile = _tile(
            page.result_html(hit, metric, missed=missed),
            f"More: missed {hit.rank}" if missed else f"More like no. {hit.rank}",
            f"Search with this {page.shorten(hit.label or page.NO_LABEL)}",
            lambda: self.ask_id(hit.id),
        )
        if missed:
            tile.add_class("lookalike-missed")
        return tile

    def _sample(self, path: str | os.PathLike) -> w.VBox:
        name = page.shorten(Path(path).stem)
        html = page.picture_html(path, f"sample {name}", side=page.SMALL_SIDE)
        return _tile(html, name, "Search with this sample", lambda: self.ask_path(path))

    def _remember(self) -> str:
        picture = self._picture
        if not isinstance(picture, Upload):
            raise LookalikeError("upload a picture first, or type its path.")
        hit = self.handler.remember(picture.data, self.desk.name.value)
        self.controls.fill_labels()
        self.about.value = escape(page.about(self.handler))
        self._show(picture)
        label = hit.label or page.NO_LABEL
        return f"Remembered as number {hit.id}, {label}. It now finds itself."

    def _say(self, text: str, *, is_busy: bool = False) -> None:
        self.message = printable(text)
        self.status.value = page.status_html(
            self.message, is_error=self.error is not None, is_busy=is_busy
        )


# --- Parts -----------------------------------------------------------------------


def _tile(html: str, name: str, tooltip: str, on_click: Callable[[], None]) -> w.VBox:
    """Return a picture with a button below it; both can be clicked."""
    tile = w.VBox([w.HTML(html), _button(name, tooltip, on_click)])
    tile.add_class("lookalike-tile")
    return tile


def _button(
    description: str, tooltip: str, on_click: Callable[[], None], width: str = ""
) -> w.Button:
    layout = w.Layout(width=width or None)
    button = w.Button(description=description, tooltip=tooltip, layout=layout)
    button.on_click(lambda _: on_click())
    return button


def _labelled(
    kind: type[w.Widget], description: str, width: str, **options: Any
) -> w.Widget:
    style, layout = {"description_width": "initial"}, w.Layout(width=width)
    return kind(description=description, style=style, layout=layout, **options)


def _number(description: str, value: int, largest: int) -> w.BoundedIntText:
    bounds = {"value": value, "min": 1, "max": largest, "continuous_update": False}
    return _labelled(w.BoundedIntText, description, "max-content", **bounds)


def _close(widget: w.Widget) -> None:
    """Close a widget with all that belongs to it, so that nothing stays in memory."""
    for child in getattr(widget, "children", ()):
        _close(child)
    layout, style = (getattr(widget, name, None) for name in ("layout", "style"))
    for part in filter(None, (widget, layout, style)):
        part.close()
