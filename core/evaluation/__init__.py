"""Scores, calibration and statistical tests computed from predictions (numpy, no model).

May import ``core.storage`` and ``core.data``.
"""
