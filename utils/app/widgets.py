"""The interactive query: a small app in a notebook, or a page by itself under Voilà.

`QueryApp` passes on what the page asks for (`app.js` sends it) and sets what the page
shows, as plain values; `utils.app.query` decides, and the words are in
`utils.app.page`.  So the app can be tested without a browser, and whatever it finds a
program finds, too.

>>> QueryApp(QueryHandler(search))                                # doctest: +SKIP
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import traitlets

from utils.app import page
from utils.app.query import SCORES, Answer, Box, QueryHandler, Question
from utils.errors import LookalikeError, printable

MAX_K = 20
MAX_TRAIL = 12  # searches to return to
INDEXES = {
    "Flat": "Flat: compare with every picture",
    "IVF": "IVF: look into some cells",
    "HNSW": "HNSW: walk a graph",
}
# What the page may ask for, by the names of methods; see `QueryApp._on_message`.
ACTS = {
    *("ask_path", "ask_sample", "ask_id", "ask_words", "choose", "crop"),
    *("like", "dislike", "unmark", "undo", "clear"),
    *("go_back", "return_to", "remember_picture"),
}


@dataclass(frozen=True, eq=False)
class Upload:
    """A picture that came in."""

    name: str
    data: bytes
    _small: dict[int, bytes | None] = field(default_factory=dict, repr=False)

    def picture(self, side: int, **limits: Any) -> bytes | None:
        """Return a small JPEG of it, made once."""
        if side not in self._small:
            self._small[side] = page.picture(self.data, side, **limits)
        return self._small[side]


class Query(NamedTuple):
    """What is looked for: a picture or a part of it, words, or both; refined."""

    picture: Upload | int | None = None  # an int is an id
    words: str = ""
    box: Box | None = None
    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return self.picture is not None or bool(self.words)


class QueryApp(anywidget.AnyWidget):
    """Choose a picture and how to search, see what is like it, and go on from there.

    `samples` are pictures to begin with.  `paths` offers a box for the path of a file.
    It opens any picture that this computer's user may read: switch it off where
    strangers see the page.
    """

    _esm = Path(__file__).with_name("app.js")
    _css = Path(__file__).with_name("style.css")

    # What the page shows; bytes are JPEGs.
    offers = traitlets.Dict().tag(sync=True)  # what can be chosen
    how = traitlets.Dict().tag(sync=True)  # what is chosen
    query = traitlets.Dict().tag(sync=True)
    cards: Any = traitlets.List().tag(sync=True)
    missed: Any = traitlets.List().tag(sync=True)  # nearer, yet not found
    trail = traitlets.Dict().tag(sync=True)
    status = traitlets.Dict().tag(sync=True)

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
        self.message = ""  # the status line
        self.error: Exception | None = None  # why the last action failed
        self._samples, self._paths = list(samples), paths
        self._acts = ACTS if paths else ACTS - {"ask_path"}
        self._question = Question(nprobe=min(4, handler.cells), fold=True)
        self._now = Query()
        self._trail: list[Query] = []
        self._at = -1  # where in the trail we are
        self._undo: list[Query] = []
        self._arriving: dict[str, bytearray] = {}  # an upload, piece by piece
        # JupyterLab may have a kernel take the messages of two pages in two threads.
        self._lock = threading.RLock()
        self.on_msg(self._on_message)
        self._offer()
        self._show_choices()
        self._say(
            "Choose a picture to begin, or type what it should show."
            if handler.takes_words
            else "Choose a picture to begin."
        )

    def __repr__(self) -> str:
        return f"QueryApp over {self.handler.search!r}"

    # --- What can be done: by a click, or by a program ---------------------------

    def ask(self, data: bytes, name: str = "the picture") -> None:
        """Search with a picture's bytes and show what was found, or why not."""
        self._try(lambda: self._start(Upload(page.shorten(name), bytes(data))))

    def ask_path(self, path: str | os.PathLike) -> None:
        """Search with the file at a path: from here, or from Lookalike's own folder."""

        def work() -> str:
            if not os.fsdecode(path).strip():
                raise LookalikeError("type the path of a picture first.")
            found = page.find_file(path)
            data = self.handler.read(found)
            return self._start(Upload(page.shorten(found.name), data))

        self._try(work)

    def ask_sample(self, position: int) -> None:
        """Search with one of the samples."""
        self.ask_path(self._samples[position])

    def ask_id(self, id: int) -> None:
        """Search with a picture of the collection: this is how to wander."""
        self._try(lambda: self._start(int(id)))

    def ask_words(self, words: str) -> None:
        """Search by words alone."""
        self._try(lambda: self._show(Query(words=words.strip())))

    def choose(self, **changes: Any) -> None:
        """Change how to search, and ask again.

        `k`, `index`, `nprobe`, `metric`, `labels`, `words`, `weight` and `fold` mean
        what they mean to a `Question`.  Numbers out of range become the nearest that
        are not.
        """
        self._try(lambda: self._choose(changes))

    def crop(self, box: Sequence[float] | None) -> None:
        """Search for a part of the picture, as in `Question.box`; None: for all."""
        part = None if box is None else tuple(map(float, box))
        self._try(lambda: self._refine(box=part))

    def like(self, id: int) -> None:
        """Ask for more like this picture of the collection."""
        self._try(lambda: self._mark(id, liked=True))

    def dislike(self, id: int) -> None:
        """Ask for less like this picture of the collection."""
        self._try(lambda: self._mark(id, disliked=True))

    def unmark(self, id: int) -> None:
        """Neither like nor dislike a picture any more."""
        self._try(lambda: self._mark(id))

    def undo(self) -> None:
        """Take back the last refinement: a part, a like or a dislike."""
        with self._lock:
            if self._undo:
                old = self._undo[-1]
                parts = {"box": old.box, "liked": old.liked, "disliked": old.disliked}
                self._try(lambda: self._refine(back=True, **parts))

    def clear(self) -> None:
        """Search with the query as it came: whole, and nothing liked or disliked."""
        self._try(lambda: self._refine(box=None, liked=(), disliked=()))

    def go_back(self) -> None:
        """Return to the search before this one."""
        with self._lock:
            if self._at > 0:
                self.return_to(self._at - 1)

    def return_to(self, position: int) -> None:
        """Return to a search of the trail, with its part and its refinement."""
        self._try(lambda: self._show(self._trail[position], at=position))

    def remember_picture(self, label: str = "") -> None:
        """Add the picture that came in to the collection, under a label."""
        self._try(lambda: self._remember(label))

    # --- What the page asks for --------------------------------------------------

    def _on_message(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """Do what the page asks for, and tell it when that is done."""
        act, values = content.get("act"), content.get("values", {})
        if act == "upload":
            self._try(lambda: self._take(**values, piece=buffers[0]), quiet=True)
        elif act in self._acts:
            self._try(lambda: getattr(self, act)(**values), quiet=True)
        self.send({"done": content.get("call")})

    def _take(
        self, piece: Any, *, name: str, size: int, start: int, files: int = 1
    ) -> None:
        """Take a piece of an upload; one message of all its bytes may be too long.

        Jupyter closes the connection at a message of 10 MiB.
        """
        if size > self.handler.limits["max_bytes"]:
            self._arriving.clear()
            most = page.formats(self.handler.limits["max_bytes"])
            raise LookalikeError(f"{page.shorten(name)} is too large: choose {most}.")
        if start == 0:  # one that was broken off is dropped
            self._arriving = {name: bytearray()}
        arrived = self._arriving.get(name)
        if arrived is None or len(arrived) != start:
            raise LookalikeError(
                f"{page.shorten(name)} did not arrive whole; try again."
            )
        arrived += piece
        if len(arrived) < size:
            return
        self._arriving.clear()
        self.ask(bytes(arrived), name)
        if files > 1:
            self._say(f"{self.message} (The first of {files} files.)")

    # --- Asking ------------------------------------------------------------------

    def _try(self, work: Callable[[], str | None], *, quiet: bool = False) -> None:
        """Do something; whatever happens, say it in a sentence.

        What is `quiet` says something itself, unless it fails.
        """
        with self._lock, self.hold_sync():
            if not quiet:
                self.error = None
            try:
                if (said := work()) is not None:
                    self._say(said)
            except (LookalikeError, ValueError, KeyError, OSError) as error:
                self.error = error
                self._say(page.why_not(error))
            except Exception as error:  # noqa: BLE001, a traceback would end in a log
                self.error = error
                kind = type(error).__name__
                self._say(f"Not done, by a mistake of this program: {kind}: {error}")

    def _start(self, picture: Upload | int) -> str:
        """Search with a new picture; words that are there go on being mixed in."""
        return self._show(Query(picture, self._now.words))

    def _choose(self, changes: dict[str, Any]) -> str:
        words = changes.pop("words", self._now.words).strip()
        limits = {"k": MAX_K, "nprobe": self.handler.cells}
        for name in limits.keys() & changes.keys():
            changes[name] = min(max(1, int(changes[name])), limits[name])
        if "labels" in changes:  # the page knows them as they are shown
            by_name = {page.shorten(label): label for label in self.handler.labels}
            chosen = changes["labels"]
            changes["labels"] = tuple(by_name.get(label, label) for label in chosen)
        if "weight" in changes:
            changes["weight"] = min(max(0.0, float(changes["weight"])), 1.0)
        question = replace(self._question, **changes)
        is_new = self._now.picture is None and words != self._now.words
        at = None if is_new else self._at
        return self._show(self._now._replace(words=words), question, at=at)

    def _mark(self, id: int, *, liked: bool = False, disliked: bool = False) -> str:
        self.handler.search.path_of(id)  # says which ids there are
        now = self._now
        others = [tuple(i for i in ids if i != id) for ids in (now.liked, now.disliked)]
        return self._refine(
            liked=others[0] + (id,) * liked, disliked=others[1] + (id,) * disliked
        )

    def _refine(self, *, back: bool = False, **changes: Any) -> str:
        """Change the query that is shown, in a way that can be undone."""
        if not self._now:
            raise LookalikeError("choose a picture first.")
        undo = self._undo[:-1] if back else [*self._undo, self._now]
        return self._show(self._now._replace(**changes), at=self._at, undo=undo)

    def _show(
        self,
        query: Query,
        question: Question | None = None,
        *,
        at: int | None = None,
        undo: list[Query] | None = None,
    ) -> str:
        """Ask, and put the answer in place of the last one; return what to say.

        `at` is the place of the query in the trail; without it, it is a new one.
        `undo` is what can be taken back from now on.  If there is no answer, nothing
        has changed.
        """
        question = replace(
            question or self._question,
            **{name: getattr(query, name) for name in ("words", "box")},
            **{name: getattr(query, name) for name in ("liked", "disliked")},
        )
        answer = self._ask(query.picture, question) if query else None
        if undo is not None or at is None or at != self._at:
            self._undo = undo or []
        if query:
            self._place(query, at)
        self._now, self._question, self.answer = query, question, answer
        self._show_choices()
        self._show_query()
        self._show_answer()
        if answer is None:
            return "Choose a picture to begin."
        is_upload, is_picture = self._is_upload, query.picture is not None
        return page.summary(
            self.query["said"], answer, is_upload=is_upload, is_picture=is_picture
        )

    def _ask(self, picture: Upload | int | None, question: Question) -> Answer:
        if picture is None:
            return self.handler.answer_words(question)
        if isinstance(picture, Upload):
            return self.handler.answer(picture.data, question, name=picture.name)
        return self.handler.answer_id(picture, question)

    def _place(self, query: Query, at: int | None) -> None:
        """Put a query into the trail: at its place, or after the one we come from."""
        if at is not None and self._trail:
            self._at = at
            self._trail[at] = query
            return
        self._at += 1
        self._trail.insert(self._at, query)
        if len(self._trail) > MAX_TRAIL:
            gone = 0 if self._at else len(self._trail) - 1
            del self._trail[gone]
            self._at -= gone == 0

    def _remember(self, label: str) -> str:
        picture = self._now.picture
        if not isinstance(picture, Upload):
            raise LookalikeError("upload a picture first, or type its path.")
        hit = self.handler.remember(picture.data, label)
        self._offer()
        self._show(self._now, at=self._at)
        label = hit.label or page.NO_LABEL
        return f"Remembered as number {hit.id}, {label}. It now finds itself."

    # --- Showing -----------------------------------------------------------------

    @property
    def _is_upload(self) -> bool:
        return isinstance(self._now.picture, Upload)

    def _offer(self) -> None:
        """Tell the page what can be chosen: labels come and go."""
        handler, limits = self.handler, self.handler.limits
        counts = Counter(label for label in handler.search.labels if label)
        self.offers = {
            "about": page.about(handler),
            "formats": page.formats(limits["max_bytes"]),
            "max_bytes": limits["max_bytes"],
            "samples": [
                {
                    "name": page.shorten(Path(path).stem),
                    "picture": page.picture(path, page.SAMPLE_SIDE),
                }
                for path in self._samples
            ],
            "labels": [
                {"name": page.shorten(label), "count": counts[label]}
                for label in sorted(counts)
            ],
            "paths": self._paths,
            "words": handler.takes_words,
            "max_k": MAX_K,
            "cells": handler.cells,
            "indexes": INDEXES,
            "metrics": list(SCORES),
            "scales": page.SCALES,
        }

    def _show_choices(self) -> None:
        names = ("k", "index", "nprobe", "metric", "words", "weight", "fold")
        how = {name: getattr(self._question, name) for name in names}
        self.how = how | {"labels": [page.shorten(x) for x in self._question.labels]}

    def _show_query(self) -> None:
        now, question = self._now, self._question
        self.query = {}
        if now:
            name, is_picture = self._name(now.picture), now.picture is not None
            self.query = {
                "name": name,
                "said": page.asked(name, question, is_picture=is_picture),
                "picture": self._picture(now.picture, page.QUERY_SIDE),
                "is_picture": is_picture,
                "box": now.box,
                "liked": self._small_cards(now.liked),
                "disliked": self._small_cards(now.disliked),
                "formula": page.formula(question),
                "can_undo": bool(self._undo),
                "can_remember": self._can_remember,
            }
        self.trail = {
            "at": self._at,
            "items": [
                {
                    "name": self._name(query.picture) or page.quoted(query.words),
                    "picture": self._picture(query.picture, page.SMALL_SIDE),
                    "is_picture": query.picture is not None,
                    "box": query.box,
                    "marks": len(query.liked) + len(query.disliked),
                }
                for query in self._trail
            ],
        }

    @property
    def _can_remember(self) -> bool:
        is_known = self.answer is not None and self.answer.itself is not None
        return self._is_upload and not is_known and self.handler.keep_in is not None

    def _show_answer(self) -> None:
        answer, question = self.answer, self._question
        self.cards, self.missed = [], []
        if answer is not None:
            self.cards = [
                page.card(hit, question, answer.folded.get(hit.id, ()))
                for hit in answer.hits
            ]
            self.missed = [page.card(hit, question) for hit in answer.missed]

    def _name(self, picture: Upload | int | None) -> str:
        if isinstance(picture, Upload):
            return picture.name
        item = None if picture is None else self.handler.search.items.get(picture)
        return "" if item is None else page.shorten(item.path.name)

    def _picture(self, picture: Upload | int | None, side: int) -> bytes | None:
        if isinstance(picture, Upload):
            return picture.picture(side, **self.handler.limits)
        item = None if picture is None else self.handler.search.items.get(picture)
        return None if item is None else page.picture(item.path, side)

    def _small_cards(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        cards = (page.small_card(self.handler, id) for id in ids)
        return [card for card in cards if card is not None]

    def _say(self, text: str) -> None:
        self.message = printable(text)
        self.status = {"text": self.message, "failed": self.error is not None}
