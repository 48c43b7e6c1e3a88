"""Runs and comparisons as documents: HTML and SVG. May import ``core.charts`` and ``core.runs``."""
