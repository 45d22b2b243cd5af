"""A collection in a bundle: its index and its table of pictures, tied to each other.

The one module that knows which files a saved collection consists of.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from utils.collection.bundles import (
    JOURNAL,
    Tally,
    generation_in,
    read_bundle,
    read_journal_file,
    write_generation,
)
from utils.collection.catalogue import ADVICE, Catalogue
from utils.collection.index_store import mapped_file
from utils.collection.journal import read_records, replayed
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError

INDEX_FILE, ITEMS_FILE = "index.faiss", "items.json"


class Version(NamedTuple):
    """What stands in a folder: a save, and how many changes its journal has."""

    generation: str
    changes: int

    def __str__(self) -> str:
        after = f" and {self.changes} changes after it" if self.changes else ""
        return f"the save {self.generation}{after}"


@dataclass(frozen=True)
class Stored:
    """A collection as it stands in a folder.

    `lineage` is the name of the first of the saves that follow from each other.
    """

    index: VectorIndex
    catalogue: Catalogue
    pipeline: str
    lineage: str
    version: Version


def write_collection(folder: Path, stored: Stored, *, alone: bool) -> None:
    """Write a collection as a bundle, for whoever has `locked` the folder."""
    facts, write = stored.index.snapshot()
    build = stored.version.generation.removeprefix("generation-")
    header = {"build": build, "pipeline": stored.pipeline}

    def write_index(file: Tally) -> None:
        write(file)
        header["index_sha256"] = file.sha256  # ties the two files together

    def write_items(file: Tally) -> None:
        file.write(stored.catalogue.dump(header))

    files = {INDEX_FILE: write_index, ITEMS_FILE: write_items}
    facts = {"index": facts, "pipeline": stored.pipeline, "lineage": stored.lineage}
    write_generation(folder, files, facts, build=build, alone=alone)


def read_collection(
    folder: str | os.PathLike, *, root: str | os.PathLike | None, mmap: bool
) -> Stored:
    """Read what `write_collection` wrote, and what its journal has after it.

    `root` is where the pictures are now, None where they were; `mmap` leaves the
    vectors in the file.  IndexFileError if a part is missing or damaged, or the parts
    do not belong together.
    """
    openers = {INDEX_FILE: mapped_file} if mmap else {}
    bundle = read_bundle(folder, openers=openers)
    pipeline, facts = bundle.facts.get("pipeline"), bundle.facts.get("index")
    lineage = bundle.facts.get("lineage", bundle.build)  # older bundles have none
    complete = {INDEX_FILE, ITEMS_FILE} <= bundle.files.keys()
    words = isinstance(pipeline, str) and isinstance(lineage, str)
    if not (complete and words and isinstance(facts, dict)):
        raise IndexFileError(
            f"{bundle.folder}: expected {INDEX_FILE}, {ITEMS_FILE} and "
            f"facts on both, as ImageSearch.save writes them. Received: "
            f"{sorted(bundle.files)}. {ADVICE}"
        )
    name = str(bundle.folder / ITEMS_FILE)
    catalogue, header = Catalogue.parse(bundle.files[ITEMS_FILE], name, root=root)
    ties = {"build": bundle.build, "pipeline": pipeline}
    ties["index_sha256"] = bundle.sha256s[INDEX_FILE]
    for what, value in ties.items():
        if header.get(what) != value:
            raise IndexFileError(
                f"{name}: expected the {what} {value}, that of the index beside it. "
                f"Received {header.get(what)!r}: the two come from different saves. "
                f"{ADVICE}"
            )
    name = str(bundle.folder / INDEX_FILE)
    index = VectorIndex.restore(bundle.files[INDEX_FILE], facts, name)
    if index.ids.tolist() != list(catalogue.items) or index.metric != "inner_product":
        raise IndexFileError(
            f"{name}: expected the {len(catalogue)} ids that {ITEMS_FILE} "
            f"names, by inner product. Received {len(index)} ids, by {index.metric}. "
            f"{ADVICE}"
        )
    path = bundle.folder / JOURNAL
    index, catalogue, changes = replayed(bundle.journal, path, index, catalogue)
    version = Version(bundle.folder.name, changes)
    return Stored(index, catalogue, str(pipeline), lineage, version)


def version_in(folder: Path) -> Version | None:
    """Return what stands in a folder; None if no save does.

    IndexFileError if its journal is damaged.
    """
    try:
        generation = generation_in(folder)
    except IndexFileError:
        return None
    content = read_journal_file(folder, generation)
    records = read_records(content, folder / generation / JOURNAL)
    return Version(generation, len(records.payloads))
