"""The web service: the query handler behind HTTP.

- `models`: what is sent and received (pydantic)
- `settings`: what can be set, by environment variables (pydantic-settings)
- `batching`: an embedder that lets requests at the same time share a forward pass
- `problems`: every error as a problem that a program can read (RFC 9457; starlette)
- `limits`: what a request may take, counted before anything else sees it
- `metrics`: what happened, for Prometheus and for the log (prometheus-client)
- `doors`: the collection that is served, its changes, and newer saves of it
- `application`: the routes (FastAPI)
- `server`: what a connection may take, and how the service ends (uvicorn)
- ``__main__``: ``python -m utils.service output/my_search``

``page/`` is the web page at ``/``: files that a browser takes as they are.
"""
