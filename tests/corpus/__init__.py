"""Awkward data files, built by code, with the expected result of each.

``cases.py`` lists all cases; ``test_read.py`` runs them through the reader of this project, and
``benchmarks/readers.py`` through other readers. ``present_reader.py``,
``tables_reader.py``, ``json_tables_reader.py`` and the tests import ``core``; nothing else does.
"""
