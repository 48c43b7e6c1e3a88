"""Predict the cost of a run before it starts: work counted from shapes, times the measured cost per
unit.

Also checks a configuration, estimates the remaining time of a run, and finds what fits a time
budget. Imports no ML library. May import ``core.data``, ``core.models`` and
``core.training.microbatches``.
"""
