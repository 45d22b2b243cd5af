"""Below the course: what no lesson shows, and every picture goes through.

`decoding` makes upright RGB pixels of a file's bytes, within a budget of memory.
"""
