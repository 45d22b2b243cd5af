"""The service in a process of its own, on a free port of this computer.

As a program it serves a folder with an embedder whose vectors can be foreseen, which
takes `seconds` for each pass: ``python -m tests.service.process FOLDER SECONDS``.
"""

import os
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tests.pictures_for_queries import PixelEmbedder
from utils.service.application import create_application
from utils.service.server import server_of

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


class SlowEmbedder(PixelEmbedder):
    def __init__(self, seconds):
        self.seconds = seconds

    def embed(self, pictures, *, batch_size=32):
        time.sleep(self.seconds)
        return super().embed(pictures)


@contextmanager
def process(folder, seconds=0.0, **settings):
    """Start one; the context is the process, with its `address`, and ends it."""
    variables = {f"LOOKALIKE_SERVICE_{k.upper()}": str(v) for k, v in settings.items()}
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.service.process", str(folder), str(seconds)],
        cwd=ROOT,
        env=os.environ | variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.lines = []
    reading = threading.Thread(target=lambda: child.lines.extend(child.stderr))
    reading.start()
    try:
        end = time.monotonic() + START_SECONDS
        while not (found := re.search(r"http://[\d.]+:\d+", "".join(child.lines))):
            assert child.poll() is None, "".join(child.lines)
            assert time.monotonic() < end, "it did not start in time"
            time.sleep(0.05)
        child.address = found.group()
        yield child
    finally:
        child.kill()
        child.wait()
        reading.join()
        child.stderr.close()


if __name__ == "__main__":
    embedder = SlowEmbedder(float(sys.argv[2]))
    server_of(create_application(sys.argv[1], embedder=embedder), "127.0.0.1", 0).run()
