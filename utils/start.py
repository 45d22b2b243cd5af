"""Run by the first cell of every notebook: finds `utils`, keeps tracebacks short.

A program and not a module to import: what is set here belongs to the whole kernel.
"""


def _start() -> None:
    # Imported here, or `%run` would leave the names in the notebook.
    import os
    import sys
    import warnings
    from pathlib import Path

    sys.path.insert(0, str(Path(os.path.abspath(__file__)).parents[1]))
    # Idle OpenMP threads spin by default, and take a core from the network that embeds
    # the next batch. Read when FAISS is loaded, so it must be set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Pillow's notes on odd metadata would be stored with the outputs. `utils.images`
    # decides what is refused, and cannot silence them itself: see there.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    shell = get_ipython()  # type: ignore[name-defined]  # noqa: F821
    shell.InteractiveTB.set_mode("Minimal")  # one line of an error, not forty
    shell.run_line_magic("config", 'InlineBackend.figure_formats = ["jpeg"]')


_start()
del _start
