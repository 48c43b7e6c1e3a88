"""Scores, calibration and statistical tests, derived from predictions alone (numpy, no model).

May import ``core.storage`` and ``core.data``.
"""
