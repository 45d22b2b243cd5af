"""Indexes side by side: FAISS, and what people would use instead.

`python -m tools.benchmark --help` tells the commands.  The parts, in the order in which
a run uses them:

- ``data``: the collections, their queries and the true neighbours
- ``contenders``: what takes part, and how each library is spoken to
- ``worker``: the process of one contender: it builds, opens, tunes, times
- ``race``: starts the workers and lets them take turns; keeps every result
- ``page``: the results as Markdown and plots
"""
