"""Helpers shared by every notebook, in rings: each may use those before it.

The course, in this folder, is what the lessons call.  Each module stands alone (it
imports only `errors`) and is the only one to import its library:

- ``images``: find, open safely, turn upright, resize and batch pictures
- ``gallery``: the bundled pictures, their labels, splits and vectors, in one line
- ``embeddings`` (Keras, TensorFlow): images to unit vectors, as notebook 02 does it
- ``indexes`` (FAISS): build, search, save and load an index; arrays and ids only
- ``metrics`` (NumPy, SciPy): how good is a ranking, and how sure can we be?
- ``plotting`` (Matplotlib): every figure of the series
- ``timing``, ``exercises``, ``errors``: plumbing
- ``start``: run by the first cell of every notebook

Below and around it, each ring a folder of its own:

- ``pixels`` (Pillow): a file's bytes to pixels, within a budget of memory
- ``practice``: a large collection, diagrams, and which index to choose
- ``collection``: a collection that lives: added to, saved, searched by picture
- ``fast``: the same network on other runtimes and in fewer bits
- ``beyond``: other networks than ResNet50
- ``app``: the interactive query
- ``service``: the same answers over HTTP, and a web page
"""
