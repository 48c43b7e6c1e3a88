"""Awkward data files, built by code, with the expected result of each.

``cases.py`` lists all cases; ``test_read.py`` runs them through the reader of this project, and
``benchmarks/readers.py`` through other readers. Only ``present_reader.py`` and the test import
``core``.
"""
