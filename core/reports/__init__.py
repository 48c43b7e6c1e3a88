"""Runs and comparisons as documents: HTML, SVG and CSV. May import ``core.charts`` and
``core.runs``.
"""
