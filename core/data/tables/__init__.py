"""Read tables exactly: format, encoding, dialect, header, rows and labels, with a report of each
decision.

``read.read_table`` reads a file, ``build_splits.build`` makes a dataset of tables. May import
``core.data.rows``, ``core.data.sources`` and ``core.errors``.
"""
