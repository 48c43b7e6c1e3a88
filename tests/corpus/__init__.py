"""Awkward data files, built by code, with the expected result of each.

``cases.py`` lists all cases; ``test_read.py`` runs them through the reader of this project,
``test_tables.py`` through the next one, and ``benchmarks/readers.py`` through other readers. Only
the modules whose names end in ``_reader`` and the tests import ``core``.
"""
