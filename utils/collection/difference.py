"""What one state of a collection has, and another has not.

A change is one, a journal is a row of them, and so is what one of two writers has done
since both began.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from utils.collection.catalogue import Catalogue, Item
from utils.collection.changes import finder
from utils.collection.vector_index import VectorIndex


class Difference(NamedTuple):
    """Ids that are gone, known ids with other labels, and new ones with vectors."""

    gone: list[int]
    changed: Mapping[int, Item]
    new: Mapping[int, Item]
    vectors: np.ndarray  # float32, shape (len(new), d)

    def applied(
        self, index: VectorIndex, catalogue: Catalogue, *, next_id: int = 0
    ) -> tuple[VectorIndex, Catalogue]:
        """Return both as they are with the difference; no new id is below `next_id`."""
        if self.gone or self.new or next_id:
            index = index.copy()
            index.replace(
                self.gone, self.vectors, new_ids=list(self.new), next_id=next_id
            )
        both = {**self.changed, **self.new}
        return index, catalogue.changed(self.gone, both)


def between(
    before: Catalogue, after: Catalogue
) -> tuple[list[int], dict[int, Item], dict[int, Item]]:
    """Return which ids are gone, changed and new: a `Difference` without vectors."""
    old, now = before.items, after.items
    gone = [id for id in old if id not in now]
    changed = {id: now[id] for id in now if id in old and now[id] != old[id]}
    return gone, changed, {id: item for id, item in now.items() if id not in old}


def together(
    differences: Iterable[Difference], catalogue: Catalogue, next_id: int, d: int
) -> tuple[Difference, int]:
    """Return what several differences make of a catalogue, one after the other.

    And the next id that may be given.  ValueError if one of them removes or changes
    what is not there, or gives an id that was given before.
    """
    items, vectors = dict(catalogue.items), {}
    for difference in differences:
        unknown = [id for id in difference.gone if items.pop(id, None) is None]
        unknown += [id for id in difference.changed if id not in items]
        if unknown:
            raise ValueError(f"a change of the id {unknown[0]}, which is not there")
        for id, vector in zip(difference.new, difference.vectors, strict=True):
            if id < next_id:
                raise ValueError(f"the id {id}, which was given before")
            next_id, vectors[id] = id + 1, vector
        items |= {**difference.changed, **difference.new}
    after = Catalogue(items, catalogue.root, real_paths={})
    gone, changed, new = between(catalogue, after)
    rows = np.array([vectors[id] for id in new], dtype=np.float32)
    return Difference(gone, changed, new, rows.reshape(len(new), d)), next_id


def rebased(mine: Difference, theirs: Catalogue) -> tuple[Difference, dict[int, int]]:
    """Return what is left to do where somebody else has changed the collection, too.

    A picture that either has removed is gone.  A label that both have given is mine.
    A picture that both have added is there once: under their id if they saw the same
    content (the second value says which of my ids it stands for), else under mine.
    """
    find, items = finder(theirs), theirs.items
    gone = [id for id in mine.gone if id in items]
    changed = {
        id: items[id]._replace(label=item.label)
        for id, item in mine.changed.items()
        if id in items
    }
    same: dict[int, int] = {}
    for id, item in mine.new.items():
        other = find(item.path)
        if other is None or other in gone:
            continue
        if items[other].sha256 != item.sha256:
            gone.append(other)
            continue
        same[id] = other
        if items[other].label != item.label:
            changed[other] = items[other]._replace(label=item.label)
    changed = {id: item for id, item in changed.items() if id not in gone}
    new = {id: item for id, item in mine.new.items() if id not in same}
    rows = [row for row, id in enumerate(mine.new) if id not in same]
    return Difference(sorted(gone), changed, new, mine.vectors[rows]), same
