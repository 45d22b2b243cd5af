"""The site: lessons, gallery, benchmarks and reference as pages that need no server.

`python -m tools.site --help` tells the options. The parts, in the order in which a
build uses them:

- ``launch``: the repository's address, and what follows from it: buttons, Colab's cell
- ``sources``: a folder of copies that Sphinx can read; nothing is executed
- ``gallery``: the pages of the pictures, with thumbnails
- ``finish``: leaves out what the theme brings and no page needs
- ``check``: reads the built pages as a browser would: links, anchors, alternative texts
"""
