"""Pictures that can be searched by words: embedders that offer `embed_text`.

>>> embedder = load_words()                                       # doctest: +SKIP
>>> embedder.embed(images) @ embedder.embed_text(["fruit"]).T     # doctest: +SKIP

- `load_words`: a picture becomes the sentence vector of what it seems to be (ConSE)
- `align_words`: a sentence becomes the vector of a picture, as learned from captions

Both are an `Embedder`, so a collection, an app or a service takes them as they are.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from utils.beyond.networks import EfficientNetLite0, load_network
from utils.beyond.sentences import SentenceEncoder, load_sentences
from utils.embeddings import BUNDLED, Embedder, normalize
from utils.errors import WeightsError, check_k

NAMES = BUNDLED.with_name("imagenet_names.txt")
MIXED = 10  # names that stand for a picture, as in the paper
PROMPT = "a photo of a {}"  # a name alone is near to other meanings of its words
RIDGE = 1.0


def imagenet_names() -> list[str]:
    """Return the names of ImageNet's 1,000 classes, in the order of the scores."""
    names = NAMES.read_text(encoding="utf-8").splitlines()
    if len(names) != 1000:
        raise WeightsError(
            f"{NAMES}: expected 1,000 names. Received: {len(names)}. Bring it back: "
            "git checkout -- models."
        )
    return names


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row of scores: float32 (n, c), rows that sum to 1.

    >>> probabilities(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]], dtype=float32)
    """
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)


def mix_names(shares: np.ndarray, vectors: np.ndarray, most: int = MIXED) -> np.ndarray:
    """Weight each picture's `most` probable names, and add their vectors up.

    `shares` are probabilities of shape (n, c), `vectors` one row per name, (c, d).
    Each name weighs the root of its probability; the paper takes that as it is, but a
    network is often too sure of one name.  Returns unit vectors: float32 (n, d).

    References
    ----------
    Norouzi et al., *Zero-shot learning by convex combination of semantic embeddings*,
    2013.
    """
    most = min(check_k(most, "most"), shares.shape[1])
    best = np.argpartition(-shares, most - 1, axis=1)[:, :most]
    kept = np.zeros_like(shares)
    roots = np.sqrt(np.take_along_axis(shares, best, axis=1))
    np.put_along_axis(kept, best, roots, axis=1)
    return normalize(kept @ vectors)


class ClassProbabilities(Embedder):
    """The probabilities of ImageNet's 1,000 names, as vectors that can be cached.

    Scaled to length 1, as all vectors here are; `shares_of` takes that back.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        pipeline = f"{network.pipeline}-names"
        super().__init__(network.model, network.weights, network.input_size, pipeline)
        self.network, self.dimension, self._network = network.network, 1000, network

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 pictures as the network expects them."""
        return self._network.preprocess(images)

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Send one batch through: (n, size, size, 3) -> (n, 1000)."""
        return probabilities(self._network.scores(images, batch_size=len(images)))

    @staticmethod
    def shares_of(vectors: np.ndarray) -> np.ndarray:
        """Return the probabilities that these unit vectors were made of."""
        return vectors / vectors.sum(axis=1, keepdims=True)


class WordEmbedder(ClassProbabilities):
    """Pictures and sentences in one space, that of the sentences: 384 numbers.

    `name_vectors` are the sentence vectors of `imagenet_names`, each in the words of
    `PROMPT`: float32 (1000, 384).
    """

    def __init__(
        self, network: EfficientNetLite0, sentences: SentenceEncoder, most: int = MIXED
    ) -> None:
        super().__init__(network)
        self.sentences, self.most = sentences, check_k(most, "most")
        self.dimension = sentences.dimension
        prompts = [PROMPT.format(name) for name in imagenet_names()]
        self.name_vectors = sentences.embed(prompts)
        # A digit at the end goes up when the names or their mixing change
        self.pipeline = f"conse{most}-{network.pipeline}-{sentences.pipeline}-v2"
        self.network = f"{network.network}'s names in MiniLM's words"

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Send one batch through: (n, size, size, 3) -> (n, 384)."""
        return mix_names(super().forward(images), self.name_vectors, self.most)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector per text, float32 (n, 384); TextError if it can't."""
        return self.sentences.embed(texts)


class AlignedEmbedder(Embedder):
    """Pictures as a network sees them, and sentences mapped to where those lie.

    Vectors and pipeline id of pictures are the network's own: a collection that exists
    can be searched by words without embedding its pictures again.
    """

    def __init__(
        self,
        network: Embedder,
        sentences: SentenceEncoder,
        mean: np.ndarray,
        matrix: np.ndarray,
    ) -> None:
        weights, size = network.weights, network.input_size
        super().__init__(network.model, weights, size, network.pipeline)
        self.network, self._network = network.network, network
        self.sentences, self.mean, self.matrix = sentences, mean, matrix

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 pictures as the network expects them."""
        return self._network.preprocess(images)

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Send one batch through the network."""
        return self._network.forward(images)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector per text, float32 (n, d); TextError if it can't."""
        return normalize((self.sentences.embed(texts) - self.mean) @ self.matrix)


def fit_ridge(
    inputs: np.ndarray, outputs: np.ndarray, strength: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear map of least squares, its numbers kept small by `strength`.

    `inputs` are (n, p), `outputs` (n, q).  Returns the mean of the inputs, (p,), and
    the matrix, (p, q): ``(inputs - mean) @ matrix`` is about outputs less their mean.

    References
    ----------
    Hoerl, Kennard, *Ridge regression*, 1970.
    """
    if len(inputs) != len(outputs) or not len(inputs):
        raise ValueError(
            "inputs and outputs must have one row each per example. Received: "
            f"{inputs.shape} and {outputs.shape}."
        )
    mean = inputs.mean(axis=0)
    centred, wanted = inputs - mean, outputs - outputs.mean(axis=0)
    square = centred.T @ centred + strength * np.eye(inputs.shape[1])
    return mean, np.linalg.solve(square, centred.T @ wanted).astype(np.float32)


def load_words(most: int = MIXED, *, verbose: bool = True) -> WordEmbedder:
    """Load an embedder that takes words: EfficientNet-Lite0 and MiniLM.

    `most` is how many names stand for a picture.  LookalikeError if a package of
    requirements-beyond.txt is missing; WeightsError if a file is damaged.
    """
    sentences = load_sentences(verbose=False)
    network = cast(EfficientNetLite0, load_network(verbose=False))
    embedder = WordEmbedder(network, sentences, most)
    if verbose:
        print(embedder)
    return embedder


def align_words(
    network: Embedder,
    sentences: SentenceEncoder,
    captions: Sequence[str],
    vectors: np.ndarray,
    *,
    strength: float = RIDGE,
) -> AlignedEmbedder:
    """Learn from captions where the pictures lie that a sentence speaks of.

    `vectors` are those of the pictures, made by `network`, one row per caption.
    """
    texts = sorted(set(captions))
    rows = dict(zip(texts, sentences.embed(texts), strict=True))
    inputs = np.stack([rows[caption] for caption in captions])
    return AlignedEmbedder(network, sentences, *fit_ridge(inputs, vectors, strength))
