"""CLIP by keras-hub: one tower for pictures, one for texts, one space for both.

`load_clip` takes OpenAI's weights, once they have been fetched.  `random_clip` builds
the same towers, smaller and with random numbers, to try all that surrounds them.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.beyond.hub import import_keras_hub, kept_file
from utils.beyond.sentences import check_text, import_tokenizers
from utils.embeddings import (
    Embedder,
    checked_sha256,
    import_keras,
    keras_settings,
    messages_aside,
    normalize,
)
from utils.errors import WeightsError, check_k

PRESET = "clip_vit_base_patch32"  # OpenAI's ViT-B/32, MIT licence
PIECES = 77  # a text's places, its start and its end among them
START, END = "<|startoftext|>", "<|endoftext|>"
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures that CLIP saw: RGB, 0 to 1
SPREAD = (0.26862954, 0.26130258, 0.27577711)


class ClipEmbedder(Embedder):
    """Both towers of a CLIP, each ending in vectors of the same space.

    `project_pictures` and `project_texts` give the vectors before they are brought to
    length 1; `temperature` divides the cosines before a softmax.
    """

    network = "CLIP"

    def __init__(
        self, backbone: Any, tokenizer: Any, *, weights: str, sha256: str
    ) -> None:
        keras = import_keras()
        size = backbone.vision_encoder.image_shape[0]
        picture = keras.Input((size, size, 3))
        ids = keras.Input((PIECES,), dtype="int32")
        pictures = keras.Model(picture, backbone.get_vision_embeddings(picture))
        pipeline = f"clip-{sha256[:16]}-{size}px-clip1-l2"
        super().__init__(pictures, weights, size, pipeline)
        self._texts = keras.Model(ids, backbone.get_text_embeddings(ids))
        self._tokenizer, self._reading = tokenizer, threading.Lock()
        with messages_aside():  # TensorFlow has something to say at the first text
            self.project_texts(["a"])
        self.temperature = float(np.exp(-backbone.clip_head.logit_scale.numpy()))

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 pictures, less CLIP's mean and divided by its spread."""
        return ((images / np.float32(255) - MEAN) / SPREAD).astype(np.float32)

    def ids_of(self, texts: Sequence[str]) -> np.ndarray:
        """Return the numbers of the texts' pieces: int32 (n, 77), zeros behind the end.

        Only the first 75 pieces count.  TextError for what is no text.
        """
        ids = np.zeros((len(texts), PIECES), np.int32)
        start, end = (self._tokenizer.token_to_id(token) for token in (START, END))
        for row, text in enumerate(texts):
            pieces = np.array(self._tokenizer(check_text(text)))[: PIECES - 2]
            ids[row, : len(pieces) + 2] = [start, *pieces, end]
        return ids

    def project_pictures(self, images: np.ndarray) -> np.ndarray:
        """Return the picture tower's vectors, of any length: float32 (n, d)."""
        batches = self._batches(images, 32)
        return np.concatenate([self.forward(batch) for batch in batches])

    def project_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return the text tower's vectors, of any length: float32 (n, d)."""
        with self._reading:
            return self._texts.predict_on_batch(self.ids_of(texts))

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector per text: float32 (n, d)."""
        return normalize(self.project_texts(texts))


def load_clip(*, download: bool = False, verbose: bool = True) -> ClipEmbedder:
    """Load OpenAI's CLIP ViT-B/32 (151 million weights, about 600 MB).

    WeightsError if it is not on this machine; `download` has keras-hub fetch it once.
    """
    models = import_keras_hub().models
    path = kept_file(models.CLIPBackbone, PRESET)
    if not (path.exists() or download):
        raise WeightsError(
            f"{path}: CLIP's weights are not on this machine. Fetch them once, with a "
            "network (about 600 MB): load_clip(download=True)."
        )
    try:
        backbone = models.CLIPBackbone.from_preset(PRESET)
        tokenizer = models.CLIPTokenizer.from_preset(PRESET)
    except Exception as error:  # keras-hub and kagglehub raise many kinds
        raise WeightsError(
            f"{path}: CLIP could not be fetched or read ({error!r:.200}). Check the "
            "network, or remove the folder and fetch it again."
        ) from error
    sha256 = checked_sha256(path, path.name)
    clip = ClipEmbedder(backbone, tokenizer, weights="OpenAI's", sha256=sha256)
    if verbose:
        print(clip)
    return clip


def random_clip(layers: int = 2, *, seed: int = 0) -> ClipEmbedder:
    """Build a small CLIP with random weights: it finds nothing, and all else works.

    `layers` of each tower (ViT-B/32 has 12), 64 wide.  Its vocabulary has letters and
    one pair; the real one goes on to 48,894 pieces of words.
    """
    models = import_keras_hub().models
    alphabet = sorted(import_tokenizers().pre_tokenizers.ByteLevel.alphabet())
    symbols = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "th", START, END]
    size = {"num_layers": check_k(layers, "layers"), "num_heads": 4, "hidden_dim": 64}
    size["intermediate_dim"] = 256
    with keras_settings("float32"):
        backbone = models.CLIPBackbone(
            models.CLIPVisionEncoder(patch_size=32, **size),
            models.CLIPTextEncoder(len(symbols), embedding_dim=64, **size),
            projection_dim=32,
        )
        vocabulary = {symbol: id for id, symbol in enumerate(symbols)}
        tokenizer = models.CLIPTokenizer(vocabulary=vocabulary, merges=["t h"])
    rng = np.random.default_rng(seed)
    for weight in backbone.trainable_weights:
        if np.ptp(weight.numpy()):  # the others are ones, zeros and the temperature
            numbers = rng.standard_normal(weight.shape) / np.sqrt(weight.shape[0])
            weight.assign(numbers.astype(np.float32))
    facts = {"weights": "random", "sha256": f"random{layers}-{seed}"}
    return ClipEmbedder(backbone, tokenizer, **facts)
