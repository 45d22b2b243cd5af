"""What comes through keras-hub, which is optional: its vision transformer.

keras-hub keeps what it fetches in a cache of its own, and publishes no hash of it.
"""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from utils.embeddings import import_keras, keras_settings
from utils.errors import import_optional

VIT_PRESET = "vit_base_patch16_224_imagenet"  # Google's ViT-B/16, ImageNet's classes


def import_keras_hub() -> ModuleType:
    """Import keras-hub, or say how to install it."""
    import_keras()  # first, and quietly
    return import_optional("keras_hub", "-r requirements-beyond.txt")


def build_vit_b16(input_size: int = 224) -> Any:
    """Build keras-hub's ViT-B/16 without its head, with random weights.

    (n, size, size, 3) -> (n, 1 + patches, 768): the class token, then each patch.

    References
    ----------
    Dosovitskiy et al., *An image is worth 16x16 words*, 2020.
    """
    build = import_keras_hub().models.ViTBackbone
    sizes = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    with keras_settings("float32"):
        return build((input_size, input_size, 3), patch_size=16, **sizes)


def vit_file() -> Path:
    """Return where keras-hub keeps the weights of ViT-B/16, there or not."""
    return kept_file(import_keras_hub().models.ViTBackbone, VIT_PRESET)


def kept_file(backbone: Any, preset: str) -> Path:
    """Return where keras-hub keeps the weights of a preset, there or not."""
    handle = backbone.presets[preset]["kaggle_handle"].removeprefix("kaggle://")
    cache = os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub"
    return Path(cache, "models", handle, "model.weights.h5")


def fetch_vit() -> None:
    """Have keras-hub fetch the weights of ViT-B/16 into its cache."""
    import_keras_hub().models.ViTBackbone.from_preset(VIT_PRESET)
