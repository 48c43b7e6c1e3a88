"""Read tables exactly: format, encoding, dialect, header and rows, with a report of each decision.

``read.read_table`` reads a file for a dataset, ``whole_table.read_whole`` with every row for
answers next to them. May import ``core.errors``.
"""
