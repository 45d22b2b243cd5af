"""tools.plot_training: the model card's curve, from the stored log."""

from pathlib import Path

import pytest
from PIL import Image

from tools.plot_training import draw, draw_distillation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("way", "name"), [(draw, "training"), (draw_distillation, "distillation")]
)
def test_the_curves_are_drawn_from_the_logs_of_the_shipped_weights(way, name, tmp_path):
    way(ROOT / "models" / f"{name}.jsonl", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as drawn:
        shipped = Image.open(ROOT / "models" / f"{name}.png")
        assert drawn.size == shipped.size
        assert drawn.convert("L").getextrema() == (0, 255)
