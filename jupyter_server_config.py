"""Raise Jupyter's upload limit: `jupyter lab --config=jupyter_server_config.py`.

A picture uploaded to a notebook travels in one web-socket message. The limit is
10 MiB, and a larger picture arrives as nothing, without an error. Jupyter reads no
settings from the folder it is started in, so this file must be named.
"""

c = get_config()  # noqa: F821  (Jupyter defines it when it reads this file)
c.ServerApp.tornado_settings = {"websocket_max_message_size": 100 * 1024 * 1024}
