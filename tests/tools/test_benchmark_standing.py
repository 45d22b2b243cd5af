"""What is concluded from raw results that were made up: each conclusion is known."""

import doctest
import re
from typing import Any

import pytest

from tools.benchmark import contenders, page, plots, standing
from tools.benchmark.contenders import BASELINE, EVERYONE, K, find
from tools.benchmark.machine import write_raw
from tools.benchmark.standing import (
    CHOOSING,
    REPORTING,
    Section,
    cheapest,
    front,
    leaders,
    mean_recall,
    meets,
    ratio,
    recall,
)

D = 2048
OURS, OTHER = "FAISS graph, bytes (HNSW16_SQ8)", "FAISS graph, six bits"
PEER, RIVAL = "usearch bf16 (links 16, ef 100)", "voyager"
FACTS = {
    "title": "900 real vectors",
    "note": "made up",
    "n": 900,
    "d": D,
    "queries": 1000,
    "fingerprint": "0123456789abcdef",
    "real": True,
    "streamed": False,
    "who": 1,
    "contenders": [contender.name for contender in EVERYONE],
}


def hits(mean: float, queries: int = 500) -> list[int]:
    """Counts of 0, 1, … K found, with a mean recall: whole tens and the next below."""
    counts = [0] * (K + 1)
    above = round(queries * (K * mean - int(K * mean)))
    if above:
        counts[int(K * mean) + 1] = above
    counts[int(K * mean)] += queries - above
    return counts


def point(chosen: float, reported: float, ms: float, **setting: int) -> dict[str, Any]:
    both = [hits(chosen), hits(reported)]
    return {"setting": setting or {"ef": 1}, "hits": both, "ms": ms}


def records(
    name: str, points: list[dict], *, share: float = 1.0, jitter: float = 0.01
) -> list[dict]:
    """A contender's build and sweep, and its turns of five rounds in two races."""
    base = {"data": FACTS["fingerprint"], "contender": name}
    memory = int(share * 4 * D * FACTS["n"])
    return [
        base | {"kind": "build", "seconds": 1.5, "peak": 2e9, "file": 3_000_000},
        base | {"kind": "sweep", "memory": memory, "points": points},
    ]


def section(*entries: tuple[str, list[dict], float], spread: float = 0.01) -> Section:
    """A collection on which all raced at the times of their sweeps, nearly."""
    kept = [
        r for name, points, share in entries for r in records(name, points, share=share)
    ]
    for number in range(5):
        turns = [
            {"contender": name, "setting": p["setting"], "p50": ms, "p95": 2 * ms}
            | {"per_second": 1000 / ms}
            for place, (name, points, _) in enumerate(entries)
            for p in points
            for ms in [p["ms"] * (1 + spread * ((number + place) % 3))]
        ]
        for threads in (1, 2):
            kept.append(
                {"data": FACTS["fingerprint"], "kind": "round", "who": 1}
                | {"threads": threads, "turns": turns}
            )
    return Section(FACTS, kept, EVERYONE)


def flat() -> tuple[str, list[dict], float]:
    return BASELINE, [{**point(1, 1, 5.0), "setting": {}}], 1.0


# ------------------------------------------------------------------- one setting


def test_recall_is_the_halfs_own_and_its_interval_comes_from_the_queries():
    found = point(0.95, 0.85, 1.0)
    assert recall(found, CHOOSING).value == pytest.approx(0.95)
    assert recall(found, REPORTING).value == pytest.approx(0.85)
    few, many = ({"hits": [[0, *hits(0.95, n)[1:]], []]} for n in (50, 5000))
    widths = [r.high - r.low for r in (recall(few, CHOOSING), recall(many, CHOOSING))]
    assert widths[0] > 5 * widths[1] > 0


@pytest.mark.parametrize(
    ("reported", "met"), [(0.955, True), (0.951, False), (0.95, False), (0.94, False)]
)
def test_an_interval_that_straddles_the_level_does_not_meet_it(reported, met):
    assert meets(point(0.99, reported, 1.0), 0.95) is met


def test_the_setting_is_chosen_on_one_half_whatever_the_other_says():
    lucky = point(0.99, 0.50, 1.0, ef=1)  # good where it is chosen, bad elsewhere
    steady = point(0.97, 0.97, 2.0, ef=2)
    assert cheapest([steady, lucky], 0.95) is lucky
    assert not meets(lucky, 0.95)
    unlucky = point(0.90, 0.99, 0.5, ef=3)
    assert cheapest([steady, unlucky], 0.95) is steady


def test_what_is_chosen_has_a_margin():
    bare, enough = point(0.952, 0.99, 1.0), point(0.975, 0.99, 2.0)
    assert cheapest([bare, enough], 0.95) is enough
    assert cheapest([bare], 0.95) is None


def test_front_holds_what_nothing_beats():
    points = [point(r, r, ms) for r, ms in ((0.9, 1), (0.8, 2), (0.95, 3), (0.95, 4))]
    assert [p["ms"] for p in front(points)] == [1, 3]
    assert mean_recall(point(0.8, 0.9, 1)) == pytest.approx(0.85)


# ---------------------------------------------------------------------- who is best


def test_best_must_meet_the_level_on_the_reporting_half():
    lucky = (RIVAL, [point(0.99, 0.94, 0.1, ef=1)], 1.0)
    steady = (PEER, [point(0.97, 0.97, 0.3, ef=2)], 0.5)
    best = section(flat(), lucky, steady).best(peer=True, level=0.95)
    assert best.contender.name == PEER


def test_memory_bounds_who_may_be_best():
    large = (OURS, [point(0.97, 0.97, 0.1, efSearch=1)], 0.26)
    small = (OTHER, [point(0.97, 0.97, 0.2, efSearch=1)], 0.25)
    found = section(flat(), large, small)
    names = [
        chosen and chosen.contender.name
        for part in (1, 4, 8)
        for chosen in [found.best(peer=False, level=0.95, part=part)]
    ]
    assert names == [OURS, OTHER, None]


def test_best_of_a_batch_is_another_than_of_one_query():
    quick = (OURS, [point(0.97, 0.97, 0.1, efSearch=1)], 0.3)
    slow = (OTHER, [point(0.97, 0.97, 0.2, efSearch=1)], 0.3)
    found = section(flat(), quick, slow)
    for record in found.rounds:
        for turn in record["turns"]:
            if turn["contender"] == OTHER:
                turn["per_second"] = 1e6
    one = found.best(peer=False, level=0.95)
    batch = found.best(peer=False, level=0.95, by=("per_second", 2))
    assert (one.contender.name, batch.contender.name) == (OURS, OTHER)


def test_all_choices_race_each_of_them_once():
    points = [point(0.92, 0.92, 0.1, ef=1), point(0.98, 0.98, 0.2, ef=2)]
    weak = (RIVAL, [point(0.5, 0.5, 1, ef=1), point(0.6, 0.6, 2, ef=2)], 1.0)
    racing = section(flat(), (PEER, points, 0.5), weak).finalists()
    found = [(c.contender.name, *c.point["setting"].values()) for c in racing]
    assert found == [(BASELINE,), (PEER, 1), (PEER, 2), (RIVAL, 2)]


def test_further_collections_get_each_librarys_best():
    fast = (OURS, [point(0.97, 0.97, 0.1, efSearch=1)], 0.26)
    slow = (OTHER, [point(0.97, 0.97, 0.2, efSearch=1)], 0.3)
    peer = (PEER, [point(0.97, 0.97, 0.3, ef=1)], 0.5)
    found = leaders(section(flat(), fast, slow, peer))
    assert found == [find(BASELINE), find(OURS), find(PEER)]
    whole = section(flat(), fast, slow, peer)
    assert leaders(whole.among([find(OTHER), find(PEER)])) == [find(OTHER), find(PEER)]


def test_ratio_is_taken_inside_a_round():
    """All times double in the third round; the ratio does not move."""
    ours, theirs = [1.0, 1.1, 2.0, 1.0], [3.0, 3.3, 6.0, 3.0]
    found = ratio(ours, theirs)
    assert found.low == pytest.approx(3) and found.high == pytest.approx(3)
    noisy = ratio([1.0, 1.0, 1.0], [0.8, 1.0, 1.3])
    assert noisy.low < 1 < noisy.high
    assert ratio([1.0], [3.0]).low == 0  # one round says nothing of the next


# -------------------------------------------------------------------------- the page


def duel(ours: float, peer: float, *, spread: float = 0.01) -> Section:
    return section(
        flat(),
        (OURS, [point(0.97, 0.97, ours, efSearch=1)], 0.24),
        (PEER, [point(0.97, 0.97, peer, ef=1)], 0.24),
        spread=spread,
    )


@pytest.mark.parametrize(
    ("ours", "peer", "spread", "expected"),
    [
        (0.1, 0.3, 0.01, rf"{OURS} in 0.10. ms, \*\*2.9\d \[.*\] times as fast\*\* as"),
        (
            0.3,
            0.1,
            0.01,
            rf"\*\*the peer wins\*\*: {PEER} in 0.10. ms, 3.0\d \[.*\] ti",
        ),
        (0.1, 0.1, 0.5, r"\*\*not told apart\*\*: .*; ratio "),
    ],
)
def test_first_paragraph_says_who_wins(ours, peer, spread, expected):
    text = page.answer([duel(ours, peer, spread=spread)])
    for name in ("fast", "small"):
        sentence = text[text.index(f"**{name}**") :]
        pattern = expected.replace("(", r"\(").replace(")", r"\)")
        assert re.search(pattern, sentence), sentence
    assert "**tiny** (recall ≥ 0.80 within 1/8 of Flat's memory): nobody" in text


@pytest.mark.parametrize(
    ("name", "setting", "expected"),
    [(PEER, "ef", "**the peer wins**: usearch"), (OURS, "efSearch", "no peer reaches")],
)
def test_first_paragraph_says_so_where_one_side_is_alone(name, setting, expected):
    alone = (name, [point(0.97, 0.97, 0.1, **{setting: 1})], 0.1)
    small = page.answer([section((BASELINE, flat()[1], 1.0), alone)])
    assert expected in small[small.index("**small**") :]


def test_where_one_side_is_alone_the_level_that_both_reach_is_told_too():
    ours = (OTHER, [point(0.91, 0.91, 0.1, efSearch=1)], 0.1)
    peer = ("voyager E4M3, reduced (pca 512)", [point(0.82, 0.82, 0.3, ef=1)], 0.1)
    found = section(flat(), ours, peer)
    assert [level for level, _ in page.duels(found, 8, (0.90, 0.85, 0.80))] == [
        *(0.90, 0.85, 0.80)
    ]
    text = page.answer([found])
    tiny = text[text.index("**tiny** (recall ≥ 0.90") :]
    assert "; no peer reaches it. At recall ≥ 0.85" in tiny
    assert re.search(r"At recall ≥ 0\.80 .*times as fast\*\* as the best peer", tiny)


def test_small_indexes_that_raced_apart_decide_what_is_small():
    both = duel(0.1, 0.3)
    small = section(flat(), (OTHER, [point(0.97, 0.97, 0.2, efSearch=1)], 0.1))
    assert small.is_small and not both.is_small
    assert list(page.classes(both, [both, small])) == ["fast"]
    assert list(page.classes(small, [both, small])) == ["small", "tiny"]
    assert list(page.classes(both, [both])) == ["fast", "small", "tiny"]


def raw(found: Section, **more: Any) -> dict[str, Any]:
    machine = {"processor": "Abacus", "cores": 2, "instructions": "beads"}
    machine |= {"memory_gb": 1, "system": "wood", "versions": {"Python": "3"}}
    kept = [*found.builds.values(), *found.sweeps.values(), *found.rounds]
    quiet = {"load": 0.1, "bound": 0.5}
    plain = {"date": "2026-01-01", "command": "python -m tools.benchmark", "rounds": 5}
    plain |= {"threads": [1, 2], "machine": machine, "quiet": quiet, "absent": []}
    return plain | {"sections": [found.facts], "records": kept} | more


def test_page_comes_from_the_raw_results_alone_and_again_the_same(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_raw(path, raw(duel(0.1, 0.3)))
    page.write(path)
    first = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert set(first) == {"RESULTS.md", "RESULTS.json", "results-012345.jpg"}
    (tmp_path / "results-dead00.jpg").touch()  # of an earlier collection
    page.write(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == first


def test_page_begins_with_answer_figure_and_short_table(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_raw(path, raw(duel(0.1, 0.3)))
    page.write(path)
    text = path.read_text(encoding="utf-8")
    parts = (
        "**fast**",
        "![Recall",
        "## The short table",
        "## How to read",
        "## In full",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    short = text[places[2] : places[3]]
    assert 5 <= short.count("\n| ") <= 13
    for line in short.splitlines():
        assert line.count("|") in (0, 11)
    assert "threads: 1 and 2" in text and "Abacus" in text
    assert "Not to be quoted" not in text


def test_page_of_a_busy_machine_says_so_first(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_raw(path, raw(duel(0.1, 0.3), quiet={"load": 3.0, "bound": 0.5}))
    page.write(path)
    text = path.read_text(encoding="utf-8")
    assert text.index("Not to be quoted") < text.index("**fast**")


def test_what_failed_or_is_absent_stands_on_the_page(tmp_path):
    path, found = tmp_path / "RESULTS.md", duel(0.1, 0.3)
    failure = {"data": FACTS["fingerprint"], "kind": "failure", "stage": "building"}
    failure |= {"contender": RIVAL, "error": "RuntimeError: no"}
    kept = raw(found, absent=["ngt is not installed: pip install"])
    kept["records"] = [*kept["records"], failure]
    write_raw(path, kept)
    page.write(path)
    text = path.read_text(encoding="utf-8")
    assert f"- {RIVAL}, building: RuntimeError: no" in text
    assert "Not measured: ngt is not installed" in text


def test_page_without_results_is_not_written(tmp_path):
    path = tmp_path / "RESULTS.md"
    write_raw(path, raw(Section(FACTS, [], EVERYONE)))
    with pytest.raises(ValueError, match="expected results of a collection"):
        page.write(path)
    assert not path.exists()


def test_no_two_families_look_alike():
    every = [(c.name, [point(0.9, 0.9, 1)], 1.0) for c in EVERYONE]
    styles = plots.styles(section(*every))
    assert set(styles) == {family.name for family in contenders.FAMILIES}
    assert len(set(styles.values())) == len(styles)


@pytest.mark.parametrize("module", [standing, contenders])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
