"""Serve a saved search: ``python -m utils.service output/my_search``.

It listens on this computer only, unless ``--host`` says otherwise.  What can be set is
in `settings`; a token in ``LOOKALIKE_SERVICE_TOKEN`` lets those who know it add and
remove pictures.
"""

import argparse
import logging
import sys

from utils.errors import LookalikeError
from utils.service.application import create_application
from utils.service.server import server_of


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; what was accepted is answered first."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.service", description=__doc__.split("\n")[0]
    )
    parser.add_argument("folder", help="what ImageSearch.save wrote")
    parser.add_argument(
        "--host", default="127.0.0.1", help="default: this computer only"
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        application = create_application(options.folder)
        server_of(application, options.host, options.port).run()
    except LookalikeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
