"""The embedder that made a collection, found by the pipeline id in its manifest.

>>> search = ImageSearch.load("output/my_search")                  # doctest: +SKIP
>>> search.use(restore_embedder(search.pipeline))                  # doctest: +SKIP
"""

import os
import re
from functools import partial
from typing import Any, cast

from utils.beyond.clip import load_clip
from utils.beyond.heads import load_head
from utils.beyond.networks import NETWORKS, EfficientNetLite0, load_network
from utils.beyond.sentences import load_sentences
from utils.beyond.words import WordEmbedder
from utils.embeddings import Embedder
from utils.errors import WeightsError, printable
from utils.fast.embedder import load_fast_embedder

UNTRAINED = {"random": None, "untrained-glorot": "untrained"}


def restore_embedder(
    pipeline: str,
    *,
    weights: str | os.PathLike | None = None,
    head: str | os.PathLike | None = None,
) -> Embedder:
    """Load the embedder that has this pipeline id, and no other.

    Weights that are bundled, or that Keras has fetched before, are found; nothing is
    downloaded.  `weights` is the file of others, `head` that of a taught head.
    WeightsError says what is missing and what to pass, and names what was found
    instead; LookalikeError, that a package has to be installed.
    """
    name = printable(pipeline)
    base, taught, _ = pipeline.rpartition("-head-")
    if taught and not head:
        raise WeightsError(
            f"{name}: expected the file of its taught head, which Head.save wrote. "
            "Pass it: head=... (for the service: LOOKALIKE_SERVICE_HEAD)."
        )
    if taught and head:
        embedder: Embedder = load_head(head, restore_embedder(base, weights=weights))
    else:
        embedder = _load(pipeline, weights)
    if embedder.pipeline != pipeline:
        raise WeightsError(
            f"{name}: what can be loaded here is {embedder.pipeline}. Vectors of the "
            "two cannot be compared. Make the collection again, or pass embedder=... "
            "with its own."
        )
    return embedder


def _load(pipeline: str, weights: Any) -> Embedder:
    for pattern, load in LOADERS.items():
        if found := re.fullmatch(pattern, pipeline):
            return load(found, weights)
    raise WeightsError(
        f"{printable(pipeline)}: expected a pipeline of {', '.join(NETWORKS)}, CLIP or "
        "conse. If a network of your own made the collection, pass it: embedder=..."
    )


def _load_network(found: re.Match[str], weights: Any) -> Embedder:
    """Load a network with the weights that have this hash, wherever they are."""
    name, sha256, size, precision = found.groups()
    load: Any = partial(load_network, name)
    if precision:
        load = partial(load_fast_embedder, precision)
    usual = ["imagenet"]
    if name == "resnet50":
        usual = [os.environ.get("LOOKALIKE_WEIGHTS") or "bundled", "bundled", *usual]
    usual = [weights] if weights else [*dict.fromkeys(usual)]
    reason = ""
    for choice in [UNTRAINED[sha256]] if sha256 in UNTRAINED else usual:
        try:
            network = load(weights=choice, input_size=int(size), verbose=False)
        except (ValueError, WeightsError) as error:  # ValueError: no such size
            reason = str(error)
            continue
        if sha256 in network.pipeline:
            return network
        reason = f"Those of {network.weights!r} have another."
    raise WeightsError(
        f"{name} of {size} pixels: expected the weights whose sha256 begins with "
        f"{sha256}. {reason} If they are a file of yours, pass it: weights=... (for "
        "the service: LOOKALIKE_SERVICE_WEIGHTS)."
    )


def _load_words(found: re.Match[str], weights: Any) -> Embedder:
    """Load what describes a picture by some names."""
    most, pipeline = found.groups()
    network = cast(EfficientNetLite0, restore_embedder(pipeline, weights=weights))
    return WordEmbedder(network, load_sentences(verbose=False), int(most))


LOADERS = {  # by what a pipeline id looks like
    rf"({'|'.join(NETWORKS)})-([0-9a-f]{{16}}|{'|'.join(UNTRAINED)})-(\d+)px-\w+-\w+-l2"
    r"(?:-(bfloat16|float16|int8)\w*)?": _load_network,
    r"conse(\d+)-(efficientnet_lite0-.+)-minilm-.+": _load_words,
    r"clip-.+": lambda found, weights: load_clip(verbose=False),
}
