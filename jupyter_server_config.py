"""Raise Jupyter's upload limit: `jupyter lab --config=jupyter_server_config.py`.

A picture uploaded to a notebook travels in one web-socket message. The limit is
10 MiB; at a longer message Jupyter closes the connection. It reads no settings from
the folder it is started in, so this file must be named. (Voilà does: `voila.json`.)
"""

import os

LIMIT = 100 * 1024 * 1024  # bytes

c = get_config()  # noqa: F821  (Jupyter defines it when it reads this file)
c.ServerApp.tornado_settings = {"websocket_max_message_size": LIMIT}
# Kernels inherit it: see `utils.app.page`.
os.environ["LOOKALIKE_UPLOAD_LIMIT"] = str(LIMIT)
