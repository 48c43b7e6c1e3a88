"""The command line, ``python -m core``: everything the browser does, with the same functions.

May import every package of ``core``.
"""
