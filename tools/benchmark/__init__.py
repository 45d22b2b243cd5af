"""Indexes side by side: FAISS, and what people would use instead.

`python -m tools.benchmark --help` tells the commands.  The parts, in the order in which
a run uses them:

- ``machine``: what it runs on, whether that is quiet, and the raw results' file
- ``data``: the collections, their queries and the true neighbours
- ``contenders``: what takes part: the table of families, builds and grids
- ``engines``, ``reduced``: how each library is spoken to; components and refinement
- ``dialogue``: a worker in a process of its own; both benchmarks' way to speak to it
- ``worker``: the process of one contender: it builds, opens, tunes, times
- ``race``: starts the workers and lets them take turns; keeps every result
- ``standing``: recall with intervals, the choice of settings, ratios
- ``page``, ``plots``: the raw results as Markdown and figures

From picture files to vectors, `python -m tools.benchmark.extraction`:

- ``extraction``: the rounds, and the program
- ``extraction_peers``: what takes part; ``extraction_export`` writes our weights in
  the peers' files
- ``extraction_worker``: the process of one contender
- ``extraction_quality``: what vectors are worth, and how far they agree
- ``extraction_filters``: what the resize filter does, measured and explained
- ``extraction_page``: the page and its figure; ``extraction_words`` its small pieces
"""
