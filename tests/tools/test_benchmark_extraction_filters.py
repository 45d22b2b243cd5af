"""What the resize filter does: the filters, the controls, the words."""

import doctest

import numpy as np
import pytest
from PIL import Image

from tools.benchmark import extraction_filters as filters
from tools.benchmark.extraction_quality import Sample
from utils import images


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, size=(8, 12, 16, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((120, 90)) for one in coarse]


def test_only_two_filters_show_stripes_that_are_finer_than_a_pixel():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::3] = 255
    picture = Image.fromarray(stripes)
    spread = {
        name: resize(picture, 16).astype(float).std()
        for name, resize in filters.FILTERS.items()
    }
    aliased = {name for name, value in spread.items() if value > 30}
    assert aliased == {filters.NEAREST, filters.PLAIN}


def test_ours_is_the_filter_of_the_course(pictures):
    ours = filters.FILTERS[filters.FILTER](pictures[0], 20)
    np.testing.assert_array_equal(ours, images.resize(pictures[0], 20))


def test_controls_have_the_sharpness_that_they_are_to_have(pictures):
    shrunk = filters.shrink_all(pictures, 24)
    sharp = {name: filters.sharpness(pixels) for name, (pixels, _) in shrunk.items()}
    assert sharp[filters.NEAREST] > 1.05 * sharp[filters.FILTER]
    wanted = sharp[filters.NEAREST]
    assert sharp[filters.SHARPENED] == pytest.approx(wanted, rel=0.02)
    assert sharp[filters.SOFTENED] == pytest.approx(sharp[filters.FILTER], rel=0.02)
    assert shrunk[filters.SHARPENED][1]["amount"] > 0


class Flat:
    """A network whose vector is the picture, shrunk to four colours."""

    def __init__(self, input_size):
        self.input_size = input_size

    def forward(self, pixels):
        half = self.input_size // 2
        parts = pixels[:, : 2 * half, : 2 * half].reshape(
            len(pixels), 2, half, 2, half, 3
        )
        return parts.mean(axis=(2, 4)).reshape(len(pixels), -1)


def test_every_filter_has_a_row_and_ours_does_not_change(pictures, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    whole = np.arange(8)
    ignore = np.eye(8, dtype=bool)
    labels = np.array(["a", "b"] * 4)
    sample = Sample("drawn", paths, labels, whole, whole, ignore)
    rows = {r["name"]: r for r in filters.compare_filters(sample, Flat(16), Flat(24))}
    controls = {filters.SHARPENED, filters.SOFTENED, "bilinear, input 24"}
    assert set(rows) == {*filters.FILTERS, *controls}
    assert rows[filters.FILTER]["change"] == [0, 0, 0]
    assert all(0 < row["map"] <= 1 for row in rows.values())
    value = rows[filters.NEAREST]["map"] - rows[filters.SHARPENED]["map"]
    assert rows[filters.SHARPENED]["rest"][0] == pytest.approx(value)


def entry(title="gallery", size=64, **changes):
    """Rows in which all filters are alike, but for those that are named."""
    rows = []
    for name in (*filters.FILTERS, filters.SHARPENED, filters.SOFTENED):
        change = changes.get(name.split()[0].strip(",").lower(), [0.0, -0.01, 0.01])
        if name == filters.FILTER:
            change = [0.0, 0.0, 0.0]
        elif name == filters.SHARPENED:
            change = changes.get("sharpened", [0.0, -0.01, 0.01])
        elif name == filters.SOFTENED:
            change = [0.0, -0.01, 0.01]
        rows.append(
            {"name": name, "sharpness": 8.0, "map": 0.3 + change[0], "change": change}
        )
        if name == filters.SHARPENED:
            rows[-1]["rest"] = changes.get("rest", [0.0, -0.01, 0.01])
    return {"title": title, "size": size, "rows": rows}


def explained(*entries):
    return filters.explain({"filters": entries, "weights": {"input_size": 64}})


UP = [0.04, 0.02, 0.06]
NO_BETTER = "every other filter is clearly worse than ours somewhere"


def test_alike_filters_are_called_alike():
    text = explained(entry())
    assert "ours has mAP 0.300 (neighbouring pixels differ by 8.0); no" in text
    assert NO_BETTER in text
    assert "explain" not in text


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ({"sharpened": UP}, "sharpness explains it"),
        ({"rest": UP}, "aliasing explains it"),
        ({"sharpened": UP, "rest": UP}, "sharpness and aliasing explain it"),
        ({}, "neither explains it alone"),
        ({"sharpened": [-0.04, -0.06, -0.02], "rest": UP}, ": aliasing explains it"),
    ],
)
def test_what_nearest_neighbour_adds_is_traced_to_its_cause(parts, cause):
    text = explained(entry(nearest=UP, **parts))
    assert (
        "the highest is nearest neighbour, +0.040 [+0.020, +0.060], beyond chance"
        in text
    )
    assert cause in text
    assert "clearly worse nowhere: nearest neighbour (gallery)" in text


def test_a_larger_input_is_told():
    one = entry()
    one["rows"].append(one["rows"][0] | {"name": "bilinear, input 96", "change": UP})
    assert "Ours with an input of 96: +0.040 [+0.020, +0.060]." in explained(one)


def test_a_filter_is_called_better_if_it_is_nowhere_worse():
    text = explained(entry(lanczos=UP), entry("photos"))
    assert "the highest is Lanczos" in text
    assert "somewhere and clearly worse nowhere: Lanczos (gallery).**" in text
    text = explained(entry(lanczos=UP), entry("photos", lanczos=UP))
    assert "clearly worse nowhere: Lanczos (gallery and photos).**" in text
    text = explained(entry(lanczos=UP), entry("photos", lanczos=[-0.04, -0.06, -0.02]))
    assert NO_BETTER in text


def test_another_size_than_the_notebooks_decides_nothing():
    assert NO_BETTER in explained(entry(), entry(size=224, lanczos=UP))


def test_the_table_has_a_row_for_each_filter_and_marks_ours():
    raw = {"filters": [entry(), entry(size=224)], "weights": {"input_size": 64}}
    lines = filters.filter_lines(raw)
    assert sum(line.startswith("| **bilinear** (ours) |") for line in lines) == 1
    header = next(line for line in lines if line.startswith("| filter |"))
    assert "| gallery, 64: sharpness | mAP | gallery, 224: sharpness | mAP |" in header
    assert "| Lanczos | 8.0 | 0.300 (+0.000 [-0.010, +0.010]) | 8.0" in "\n".join(lines)


def test_examples():
    assert doctest.testmod(filters).failed == 0
