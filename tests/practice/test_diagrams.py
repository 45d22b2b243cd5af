"""A diagram says in its texts what it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from utils.practice import diagrams


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts():
    """What is written in the figure drawn last."""
    return [text.get_text() for ax in plt.gcf().axes for text in ax.texts]


def test_a_flat_index_compares_with_all_and_returns_the_best_ids():
    diagrams.show_flat_index()
    assert {f"vector {id}" for id in range(5)} <= set(texts())
    assert "similarities\n0.87   0.64   0.55" in texts()
    assert "ids\n3      1      4" in texts()


def test_an_inverted_file_compares_with_centroids_and_then_in_two_cells():
    diagrams.show_inverted_file()
    drawn = texts()
    assert {"1. compare with\nall centroids", "2. compare\nwith these 6"} <= set(drawn)
    cells = [text for text in drawn if text.startswith("centroid ")]
    assert len(cells) == 4 and "nprobe = 2" in drawn
    ids = [int(number) for text in drawn if "   " in text for number in text.split()]
    assert sorted(ids) == list(range(12)), "each id is in one cell"


def test_a_search_steps_down_the_layers_and_ends_at_the_nearest():
    diagrams.show_layers()
    layers = [text for text in texts() if text.startswith("layer ")]
    assert len(layers) == 3 and {"start", "nearest"} <= set(texts())
    graph = plt.gca().lines[:3]
    assert [len(line.get_xdata()) for line in graph] == [12, 5, 2]


def test_a_code_holds_the_number_of_the_nearest_entry_of_each_piece():
    diagrams.show_codes()
    drawn = texts()
    nearest = [text.split(":")[0] for text in drawn if text.endswith(": nearest")]
    assert nearest == [text.removeprefix("entry ") for text in drawn if "entry" in text]
    assert set(nearest) <= set(drawn) and "the code: 16 bytes" in drawn


def test_exact_vectors_are_kept_outside_the_memory():
    diagrams.show_bytes()
    places = {text.get_text(): text.get_position()[0] for text in plt.gca().texts}
    border = plt.gca().lines[0].get_xdata()[0]
    assert places["code: 64 bytes"] < border < places["exact: 8,192 bytes"]
    assert places["in memory"] < border < places["on disk, to refine"]


def test_a_page_of_five_bounds_the_recall_of_thirty():
    diagrams.show_recall_ceiling(5, 30)
    assert "recall@5 is at most 5 / 30 = 0.17" in texts()
    boxes = plt.gca().patches
    filled = [box for box in boxes if box.get_facecolor() != (1, 1, 1, 1)]
    assert (len(boxes), len(filled)) == (30 + 5, 5 + 5)


def test_each_resample_of_the_bootstrap_has_its_own_mean():
    diagrams.show_bootstrap()
    means = [word for word in texts() if word.startswith("mean")]
    assert means == ["mean 0.40", "mean 0.54", "mean 0.18", "mean 0.48"]


def test_a_folded_convolution_does_what_two_layers_did():
    diagrams.show_folding()
    drawn = texts()
    assert {"as trained", "folded"} <= set(drawn)
    assert any("(bias − mean) · scale + beta" in text for text in drawn)
    assert drawn.count("the same\nnumbers") == 2


def test_flat_moves_ids_and_a_tombstone_does_not():
    diagrams.show_tombstones()
    drawn = texts()
    assert {"id 1  B", "id 1  C", "†  B"} <= set(drawn)
    assert drawn.count("id 3  D") == 2, "only Flat has lost the id 3"


def test_the_pointer_moves_only_when_the_new_generation_is_written():
    diagrams.show_generations()
    drawn = texts()
    assert [drawn.count(f"generation {number}") for number in (1, 2)] == [3, 2]
    ends = [a.xy[1] for a in plt.gca().texts if getattr(a, "arrow_patch", None)]
    assert ends[0] == ends[1] > ends[2]


def test_the_split_leaves_one_thing_and_one_view_out_of_the_gallery():
    diagrams.show_split()
    drawn = [text.get_text() for text in plt.gca().texts]
    assert [drawn.count(name) for name in ("gallery", "query", "unseen")] == [35, 7, 6]


def test_the_network_is_drawn_to_its_vector_and_beyond():
    diagrams.show_network(96)
    drawn = [text.get_text() for text in plt.gca().texts]
    assert {"map\n3 × 3 × 2,048", "vector\n2,048", "1,000 scores\n(left off)"} <= set(
        drawn
    )


def test_who_waits_for_others_is_answered_sooner_than_who_waits_for_a_turn():
    diagrams.show_shared_pass()
    drawn = texts()
    assert [drawn.count(request) for request in "ABC"] == [2, 2, 2]
    assert {"one pass: A, B and C", "C answered\nafter 17 ms"} <= set(drawn)
    assert "C answered\nafter 30 ms" in drawn


def test_every_token_of_a_transformer_has_a_position_and_one_becomes_the_vector():
    diagrams.show_transformer()
    drawn = texts()
    assert drawn.count("+ position") == 4
    assert {"class token", "patch 196", "block, 12 times", "vector: 768"} <= set(drawn)


def test_the_best_of_all_shards_are_merged_after_the_slowest_has_answered():
    diagrams.show_fan_out()
    lists = [text for text in texts() if text.startswith("0.")]
    *shards, merged = (text.split("\n") for text in lists)
    assert merged == sorted(sum(shards, []), reverse=True)[:2]
    waits = [float(text.split()[0]) for text in texts() if text.endswith(" ms")][:3]
    assert f"2 best of all,\nafter {max(waits):.0f} ms" in texts()


def test_each_way_to_one_space_begins_with_a_picture_and_with_words():
    diagrams.show_towers()
    drawn = texts()
    assert drawn.count("picture") == drawn.count("words") == 3
    assert {"names (ConSE)", "captions", "CLIP", "learned matrix"} <= set(drawn)
    assert drawn.count("MiniLM") == 2, "CLIP has a text tower of its own"


def test_frames_overlap_and_each_becomes_a_column():
    diagrams.show_spectrogram()
    assert {"frames that overlap", "spectrogram: 64 bands", "vector"} <= set(texts())
    boxes = plt.gca().patches
    frames = [box for box in boxes if box.get_height() == pytest.approx(1.3)]
    lefts = [box.get_x() for box in frames]
    assert len(lefts) == 3 and lefts[1] < lefts[0] + frames[0].get_width()
    columns = {b.get_x() for b in boxes if b.get_height() == pytest.approx(0.22)}
    assert len(columns) == len(frames)


def test_a_head_brings_one_kind_together_and_leaves_the_network_frozen():
    diagrams.show_head()
    drawn = texts()
    assert {"network\n(frozen)", "head\n(learns)", "before", "after"} <= set(drawn)
    points = {}
    for line in plt.gca().lines:
        points.setdefault(line.get_marker(), []).append(line.get_xydata()[0])
    (before, after), others = np.reshape(points["o"], (2, 2, 2)), points["s"]
    distance = [np.linalg.norm(pair[1] - pair[0]) for pair in (before, after)]
    assert distance[1] < distance[0] / 2 and len(others) == 4
