"""For unit tests and notebooks alike: the bundled weights, whatever the shell says."""

import os

os.environ["LOOKALIKE_WEIGHTS"] = "bundled"
