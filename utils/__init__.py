"""Helpers shared by every notebook. Import by module: ``from utils.images import ...``.

Each module has one job and is the only one that imports its library:

- ``images`` (Pillow): find, open safely, orient, resize and batch pictures
- ``embeddings`` (Keras, TensorFlow): pictures to unit vectors
- ``cache`` (sqlite3): vectors already computed, by content and pipeline
- ``indexes`` (FAISS): build, search, save and load an index
- ``metrics`` (NumPy): how good is a ranking?
- ``plotting`` (Matplotlib): every figure of the series
- ``timing`` (standard library): how long does a call take, how big is a thing?
- ``search``: ``ImageSearch``, which puts the others together
- ``errors``: one small family of errors, so that a caller can catch one thing

Only ``search`` combines the others; each of them can be read alone.
"""
