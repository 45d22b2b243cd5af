"""tools.plot_training: the model card's curve, from the stored log."""

from pathlib import Path

from PIL import Image

from tools.plot_training import draw

ROOT = Path(__file__).parents[2]


def test_the_curve_is_drawn_from_the_log_of_the_shipped_weights(tmp_path):
    draw(ROOT / "models" / "training.jsonl", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as drawn:
        shipped = Image.open(ROOT / "models" / "training.png")
        assert drawn.size == shipped.size
        assert drawn.convert("L").getextrema() == (0, 255)
