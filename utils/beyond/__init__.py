"""Beyond ResNet50: other networks, words, each as ready to embed as the course's own.

- ``networks``: `load_network`: VGG16, InceptionV3, MobileNetV3, a vision transformer …
- ``efficientnet``: EfficientNet-Lite0 written out in Keras
- ``hub``: what comes through keras-hub, which is optional
- ``sentences`` (tokenizers, by OpenVINO): `load_sentences`, sentences to unit vectors
- ``words``: embedders that take words, `load_words` and `align_words`
- ``clip``: CLIP by keras-hub, and a small one with random weights
- ``sound`` (soundfile, soxr): WAV and FLAC to spectrograms, in bounded memory
- ``heads``: `train_head`, a linear map behind a frozen network, learned from labels
- ``restore``: `restore_embedder`, the one that a saved collection's pipeline id names
"""
