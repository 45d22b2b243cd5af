"""Maintainers' programs, each runnable alone from the repository's root.

- ``python -m tools.doctor``: can a workshop start on this machine? What may crash
  runs in ``tools.doctor_probe``
- ``python tools/notebooks.py``: generated cells, execution, stored outputs
- ``python tools/slides.py``, ``python tools/offline_kit.py``: for a workshop
- ``python -m tools.benchmark``: indexes; ``python -m tools.benchmark.extraction``
- ``python -m tools.render_gallery``, ``train_resnet50``, ``distil_resnet50``,
  ``convert_weights``, ``convert_efficientnet``, ``evaluate_weights``,
  ``plot_training``, ``readme_picture``: pictures and weights
"""
