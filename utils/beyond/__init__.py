"""Beyond ResNet50: other networks, each as ready to embed as the course's own.

- ``networks``: `load_network`, and EfficientNet-Lite0 written out in Keras
"""
