"""Render the picture gallery with Blender's Python module (a maintainer's tool).

- ``plan`` decides what each picture shows; ``colours`` names colours; ``catalogue``
  writes metadata.csv and the contact sheet. None of them needs Blender.
- ``mesh``, ``materials``, ``finishes`` and ``parts`` are the building blocks.
- ``books``, ``furniture``, ``growing``, ``guitars``, ``household``, ``picked``,
  ``shoes``, ``tableware``, ``toys`` and ``worn`` build the objects; ``registry`` lists
  their 26 classes.
- ``scenes`` builds ground, background and light; ``studio`` sets the camera; ``driver``
  renders, goes on where it stopped and checks pictures against a new rendering.
"""
