"""What the raw results say: recall with intervals, chosen settings, ratios.

A setting is chosen on one half of the queries and reported on the other.  It is chosen
for the lower end of its recall's interval, not for the mean, and *meets* a level if the
lower end on the other half meets it, too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from tools.benchmark.contenders import BASELINE, Contender, K
from utils.metrics import Interval, bootstrap_mean

LEVELS = (0.90, 0.95, 0.99)
LOW_LEVELS = (0.80, 0.85)  # chosen for, too, where memory is short
PARTS = (1, 4, 8)  # memory bounds: all of Flat's, a quarter, an eighth
CLASSES = {  # name: memory as a part of Flat's; levels, the next where one side fails
    "fast": (1, (0.95,)),
    "small": (4, (0.95, 0.90)),
    "tiny": (8, (0.90, 0.85, 0.80)),
}
AIMS = [(level, part) for part, levels in CLASSES.values() for level in levels]
MARGIN = 0.005  # asked for beyond the level, so that the other half agrees
RESAMPLES = 2_000
CHOOSING, REPORTING = 0, 1

Measure = tuple[str, int]  # "p50" or "per_second", and the threads
SINGLE: Measure = ("p50", 1)
Point = dict[str, Any]  # "setting", "hits" (of both halves), "ms"


@cache
def _recall(hits: tuple[int, ...]) -> Interval:
    values = np.repeat(np.arange(K + 1) / K, hits)
    return bootstrap_mean(values, n_resamples=RESAMPLES)


def recall(point: Point, half: int) -> Interval:
    """Return a setting's recall on a half of the queries, with its 95 % interval.

    Examples
    --------
    >>> point = {"hits": [[0] * 9 + [50, 50], [0] * 9 + [100, 0]]}
    >>> print(recall(point, CHOOSING), recall(point, REPORTING))
    0.95 [0.94, 0.96] 0.90 [0.90, 0.90]
    """
    return _recall(tuple(point["hits"][half]))


def mean_recall(point: Point) -> float:
    """Return the mean over all queries, for a figure."""
    hits = np.sum(point["hits"], axis=0)
    return float(hits @ np.arange(K + 1) / K / hits.sum())


def meets(point: Point, level: float) -> bool:
    """Whether the lower end of the interval on the reporting half reaches a level."""
    return recall(point, REPORTING).low >= level


def cheapest(points: Iterable[Point], level: float) -> Point | None:
    """Return the fastest setting whose lower end on the choosing half is enough."""
    for point in sorted(points, key=lambda point: point["ms"]):
        hits = np.array(point["hits"][CHOOSING])
        if hits @ np.arange(K + 1) / K >= level * hits.sum():  # spares the bootstrap
            if recall(point, CHOOSING).low >= min(level + MARGIN, 1.0):
                return point
    return None


def front(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats in recall and time."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p["ms"], -mean_recall(p))):
        if not best or mean_recall(point) > mean_recall(best[-1]):
            best.append(point)
    return best


@dataclass(frozen=True)
class Chosen:
    """A build and a setting of it, chosen for a level of recall."""

    contender: Contender
    point: Point
    bytes_a_vector: float
    rounds: Sequence[dict[str, Any]]  # all of them; each holds a turn of everybody

    def turns(self, threads: int) -> list[dict[str, Any]]:
        """What it did in each round with so many threads."""
        name, setting = self.contender.name, self.point["setting"]
        return [
            turn
            for record in self.rounds
            if record["threads"] == threads
            for turn in record["turns"]
            if turn["contender"] == name and turn["setting"] == setting
        ]

    def values(self, what: str, threads: int) -> list[float]:
        """Return `p50`, `p95` (milliseconds) or `per_second`, one for each round."""
        return [turn[what] for turn in self.turns(threads)]

    @property
    def ms(self) -> float:
        """The median milliseconds of a query alone, one thread; infinity if unknown."""
        times = self.values("p50", 1)
        return float(np.median(times)) if times else math.inf


class Section:
    """All results of one collection.

    Parameters
    ----------
    facts : dict
        Of `tools.benchmark.data.Facts`, and of the race: `who` and `contenders`, names.
    records : sequence of dict
        The raw results; only those of this collection count.
    contenders : sequence of Contender
        Who may be among them.
    """

    def __init__(
        self,
        facts: dict[str, Any],
        records: Sequence[dict[str, Any]],
        contenders: Sequence[Contender],
    ) -> None:
        self.facts = facts
        mine = [r for r in records if r["data"] == facts["fingerprint"]]
        self.records = mine
        self.builds = {r["contender"]: r for r in mine if r["kind"] == "build"}
        self.sweeps = {r["contender"]: r for r in mine if r["kind"] == "sweep"}
        self.failures = {r["contender"]: r for r in mine if r["kind"] == "failure"}
        rounds = [r for r in mine if r["kind"] == "round"]
        # A ratio is taken among those who raced together.
        self.rounds = [r for r in rounds if r["who"] == facts["who"]]
        some = [c for c in contenders if c.name in facts["contenders"]]
        self.contenders = [c for c in some if c.name in self.sweeps]
        self.failed = [c for c in some if c.name in self.failures]
        self.families = list(dict.fromkeys(c.family for c in self.contenders))

    def among(self, contenders: Sequence[Contender]) -> "Section":
        """Return the same results as if only these had taken part."""
        return Section(self.facts, self.records, contenders)

    def bytes_a_vector(self, contender: Contender) -> float:
        """Memory that opening the index took, for each vector."""
        return self.sweeps[contender.name]["memory"] / self.facts["n"]

    def is_within(self, contender: Contender, part: int) -> bool:
        """Whether its memory is this part of Flat's, at most."""
        flat = 4 * self.facts["d"]
        return part == 1 or self.bytes_a_vector(contender) * part <= flat

    def points(self, family: Any) -> list[Point]:
        """All settings of all builds of a family."""
        mine = [c for c in self.contenders if c.family == family]
        return [point for c in mine for point in self.sweeps[c.name]["points"]]

    def choose(self, family: Any, level: float, part: int = 1) -> Chosen | None:
        """Choose a family's build and setting for a level, within a part of memory."""
        found = []
        for contender in self.contenders:
            if contender.family == family and self.is_within(contender, part):
                point = cheapest(self.sweeps[contender.name]["points"], level)
                if point:
                    size = self.bytes_a_vector(contender)
                    found.append(Chosen(contender, point, size, self.rounds))
        return min(found, key=lambda chosen: chosen.point["ms"], default=None)

    def finalists(self) -> list[Chosen]:
        """Return who races: each family's choices, each of them once.

        One that reaches no level races with the setting that finds most.
        """
        found: dict[str, Chosen] = {}
        for family in self.families:
            levels = (*LOW_LEVELS, *LEVELS) if family.compact else LEVELS
            wanted = [(level, part) for level in levels for part in PARTS]
            chosen = [self.choose(family, *each) for each in wanted]
            some = [one for one in chosen if one] or [self._nearest(family)]
            found |= {f"{c.contender.name} {c.point['setting']}": c for c in some}
        return list(found.values())

    def _nearest(self, family: Any) -> Chosen:
        pairs = [
            (contender, point)
            for contender in self.contenders
            if contender.family == family
            for point in self.sweeps[contender.name]["points"]
        ]
        contender, point = max(pairs, key=lambda pair: mean_recall(pair[1]))
        size = self.bytes_a_vector(contender)
        return Chosen(contender, point, size, self.rounds)

    def best(
        self, *, peer: bool, level: float, part: int = 1, by: Measure = SINGLE
    ) -> Chosen | None:
        """Return one side's best that meets a level on the reporting half."""
        chosen = [
            self.choose(family, level, part)
            for family in self.families
            if family.is_peer == peer
        ]
        fit = [c for c in chosen if c and meets(c.point, level) and c.values(*by)]
        sign = 1 if by[0] == "p50" else -1
        return min(fit, key=lambda c: sign * np.median(c.values(*by)), default=None)

    @property
    def is_small(self) -> bool:
        """Whether only compact families took part, beside the exact search."""
        others = [family for family in self.families if family.name != BASELINE]
        return bool(others) and all(family.compact for family in others)

    def flat(self) -> Chosen | None:
        """Return the exact search, if it took part."""
        return next((c for c in self.finalists() if c.contender.name == BASELINE), None)


def leaders(
    section: Section, aims: Sequence[tuple[float, int]] = AIMS
) -> list[Contender]:
    """Return each library's fastest for each aim, and Flat, for further collections."""
    found = {c.name: c for c in section.contenders if c.name == BASELINE}
    for library in dict.fromkeys(family.library for family in section.families):
        mine = [f for f in section.families if f.library == library]
        for level, part in aims:
            chosen = [c for f in mine if (c := section.choose(f, level, part))]
            if chosen:
                best = min(chosen, key=lambda c: c.ms)
                found[best.contender.name] = best.contender
    return list(found.values())


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Return how many times `theirs` is `ours`, with a 95 % interval.

    Each holds a value for each round; a ratio is taken inside a round.  The mean and
    Student's interval are those of the ratios' logarithms.  One round has no interval.

    Examples
    --------
    >>> print(ratio([1.0, 1.0, 1.0], [2.0, 2.1, 1.9]))
    2.00 [1.76, 2.26]
    """
    from scipy.stats import ttest_1samp

    pairs = zip(ours, theirs, strict=False)
    logs = np.array([math.log(b / a) for a, b in pairs])
    middle = math.exp(logs.mean())
    if len(logs) < 2:
        return Interval(middle, 0.0, math.inf)
    if np.ptp(logs) < 1e-9:  # SciPy warns of rounding
        return Interval(middle, middle, middle)
    ends = ttest_1samp(logs, 0).confidence_interval()
    return Interval(middle, math.exp(ends.low), math.exp(ends.high))
