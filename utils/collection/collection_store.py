"""A collection in a bundle: its index and its table of pictures, tied to each other.

The one module that knows which files a saved collection consists of.
"""

import os

from utils.collection.bundles import Tally, new_build, read_bundle, write_bundle
from utils.collection.catalogue import ADVICE, Catalogue
from utils.collection.index_store import mapped_file
from utils.collection.vector_index import VectorIndex
from utils.errors import IndexFileError

INDEX_FILE, ITEMS_FILE = "index.faiss", "items.json"


def write_collection(
    folder: str | os.PathLike, index: VectorIndex, catalogue: Catalogue, pipeline: str
) -> None:
    """Write a collection as a bundle."""
    facts, write = index.snapshot()
    header = {"build": new_build(), "pipeline": pipeline}

    def write_index(file: Tally) -> None:
        write(file)
        header["index_sha256"] = file.sha256  # ties the two files together

    def write_items(file: Tally) -> None:
        file.write(catalogue.dump(header))

    files = {INDEX_FILE: write_index, ITEMS_FILE: write_items}
    facts = {"pipeline": pipeline, "index": facts}
    write_bundle(folder, files, facts, build=header["build"])


def read_collection(
    folder: str | os.PathLike, *, root: str | os.PathLike | None, mmap: bool
) -> tuple[VectorIndex, Catalogue, str]:
    """Read what `write_collection` wrote, with the pipeline, and check it.

    `root` is where the pictures are now, None where they were; `mmap` leaves the
    vectors in the file.  IndexFileError if a part is missing or damaged, or the parts
    do not belong together.
    """
    openers = {INDEX_FILE: mapped_file} if mmap else {}
    bundle = read_bundle(folder, openers=openers)
    pipeline, facts = bundle.facts.get("pipeline"), bundle.facts.get("index")
    complete = {INDEX_FILE, ITEMS_FILE} <= bundle.files.keys()
    if not (complete and isinstance(pipeline, str) and isinstance(facts, dict)):
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
    return index, catalogue, pipeline
