"""What two states differ in, and what is left of it on top of a third."""

import numpy as np
import pytest

from utils.collection.catalogue import Catalogue, Item
from utils.collection.difference import Difference, between, rebased, together


def catalogue(root, **names: tuple[int, str, str]) -> Catalogue:
    """Make one of name=(id, label, content)."""
    items = {
        id: Item(root / name, label, sha256)
        for name, (id, label, sha256) in names.items()
    }
    return Catalogue(items, root)


def difference(before: Catalogue, after: Catalogue) -> Difference:
    gone, changed, new = between(before, after)
    vectors = np.array([[id, 1] for id in new], dtype="float32").reshape(len(new), 2)
    return Difference(gone, changed, new, vectors)


@pytest.fixture
def base(tmp_path):
    return catalogue(tmp_path, a=(0, "", "A"), b=(1, "", "B"), c=(2, "", "C"))


def test_a_difference_is_what_went_changed_and_came(base, tmp_path):
    after = catalogue(tmp_path, a=(0, "x", "A"), c=(2, "", "C"), d=(5, "", "D"))
    gone, changed, new = between(base, after)
    assert (gone, list(changed), list(new)) == ([1], [0], [5])
    assert between(base, base) == ([], {}, {})


def test_differences_are_put_together_in_their_order(base, tmp_path):
    one = catalogue(tmp_path, a=(0, "x", "A"), d=(5, "", "D"), e=(6, "", "E"))
    two = catalogue(tmp_path, a=(0, "", "A"), e=(6, "y", "E"), f=(9, "", "F"))
    steps = [difference(base, one), difference(one, two)]
    whole, next_id = together(steps, base, 3, 2)
    assert (whole.gone, whole.changed, next_id) == ([1, 2], {}, 10)
    assert whole.new == {6: two.items[6], 9: two.items[9]}
    assert whole.vectors.tolist() == [[6, 1], [9, 1]]
    with pytest.raises(ValueError, match="the id 1, which is not there"):
        together([steps[0], steps[0]], base, 3, 2)
    with pytest.raises(ValueError, match="the id 5, which was given before"):
        together(steps[:1], base, 6, 2)


def test_on_top_of_another_state_a_removal_stays_one(base, tmp_path):
    mine = difference(base, catalogue(tmp_path, b=(1, "mine", "B"), c=(2, "m", "C")))
    theirs = catalogue(tmp_path, a=(0, "", "A"), b=(1, "theirs", "B"))
    left, same = rebased(mine, theirs)
    assert (left.gone, same) == ([0], {})
    assert left.changed == {1: theirs.items[1]._replace(label="mine")}


def test_on_top_of_another_state_a_picture_is_there_once(base, tmp_path):
    mine = difference(
        base,
        catalogue(
            tmp_path, a=(3, "", "A2"), b=(4, "", "B2"), c=(2, "", "C"), d=(5, "l", "D")
        ),
    )
    theirs = catalogue(
        tmp_path, a=(6, "", "A3"), b=(7, "", "B2"), c=(2, "", "C"), d=(8, "", "D")
    )
    left, same = rebased(mine, theirs)
    assert same == {4: 7, 5: 8}
    assert (left.gone, list(left.new), left.vectors.tolist()) == ([6], [3], [[3, 1]])
    assert left.changed == {8: theirs.items[8]._replace(label="l")}
