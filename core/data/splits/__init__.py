"""From tables to splits: columns are proposed, labels read, rows kept or left out with reasons.

``build_splits.build`` makes a dataset of tables. May import ``core.data.tables``,
``core.data.rows`` and ``core.data.sources``.
"""
