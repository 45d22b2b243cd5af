"""Waiting for what another thread, process or page does."""

import time

PATIENCE = 30  # seconds; the machine may be busy


def wait_until(condition, seconds=PATIENCE):
    """Return what a condition gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found
