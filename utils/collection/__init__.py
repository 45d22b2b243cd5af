"""A collection of pictures that lives: searched, changed, saved.

- `search`: `ImageSearch`, which puts the others together; `hits`: its results
- `folders`: a folder of your own pictures; `report`: results on a page to mail
- `extraction`, `cache`: files to vectors, each computed once
- `catalogue`: what an id means; `changes`: what has changed
- `vector_index`: an index whose ids stay
- `factory`: which kinds it may be; `faiss_parts`: what FAISS's indexes consist of;
  `index_format`: what their files must look like
- `bundles`: sets of files, saved whole; `index_store`, `collection_store`: in them
- `kept`: what `ImageSearch` is besides searching: loaded, saved, merged, open to change
- `difference`: what one state has and another has not; `journal`: many of them, on the
  disk before they are answered; `home`: what is known of a folder; `locks`: whose it is
"""
