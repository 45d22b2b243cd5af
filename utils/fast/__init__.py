"""The same vectors sooner: other runtimes and precisions, asked for by name.

- ``embedder``: `load_fast_embedder`
- ``networks`` (TensorFlow): ResNet50 written down anew, batch norms folded
- ``runtimes`` (OpenVINO, NNCF): the same network by OpenVINO, also in 8-bit numbers
"""
