"""Helpers shared by every notebook. Import by module: ``from utils.images import ...``.

Each module has one job and is the only one that imports its library:

- ``images`` (Pillow): find, open safely, orient, resize and batch pictures
- ``embeddings`` (Keras, TensorFlow): pictures to unit vectors
- ``runtimes`` (OpenVINO, NNCF; TensorFlow, too): the network, compiled, in few bits
- ``cache`` (sqlite3): vectors already computed, by content and pipeline
- ``indexes`` (FAISS): build, search, change, save and load an index
- ``bundles`` (standard library): save several files as one, all or none
- ``catalogue`` (standard library): what an id means: path, label, content
- ``metrics`` (NumPy): how good is a ranking?
- ``plotting`` (Matplotlib): every figure of the series
- ``enlarge`` (NumPy): many vectors drawn from a few real ones, to practise on
- ``index_choice`` (standard library): which index for n vectors? FAISS's advice
- ``exercises`` (NumPy): how a check answers what cannot be right
- ``timing`` (standard library): how long does a call take, how big is a thing?
- ``check`` (standard library): can a workshop start on this machine?
- ``errors``: one small family of errors, so that a caller can catch one thing

Each of these can be read alone. Five modules combine them:

- ``extraction``: picture files to vectors, through the cache
- ``changes``: which pictures of a collection are new, changed or gone
- ``search``: ``ImageSearch``, which puts everything together
- ``query``: the handler behind every door: a picture's bytes in, an answer out
- ``widgets`` (ipywidgets): the interactive query, which only shows and passes on
"""
