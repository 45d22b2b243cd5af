"""A collection of pictures that lives: searched, changed, saved.

- `search`: `ImageSearch`, which puts the others together; `hits`: its results
- `extraction`, `cache`: files to vectors, each computed once
- `building`, `changes`: pictures to the parts of a collection; what has changed
- `catalogue`: what an id means; `vector_index`: an index whose ids stay
- `faiss_parts`: what FAISS's indexes consist of
- `bundles`: sets of files, saved whole; `index_store`, `collection_store`: in them
"""
