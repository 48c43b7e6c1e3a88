"""What a run costs before it starts: work counted from shapes, times the measured cost per unit.

Also the checks of a configuration, the remaining time of a run, and what fits a time budget. Free
of ML libraries. May import ``core.data``, ``core.models`` and ``core.training.microbatches``.
"""
