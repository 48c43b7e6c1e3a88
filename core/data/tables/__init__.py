"""Read other people's tables exactly: encoding, dialect, header, rows, and a report of each choice.

May import ``core.errors``. Replaces ``core.data.files`` as the reader once it is connected.
"""
