"""One visit: who the visitor is, which data is chosen, error messages, and cached reads.

May import ``core`` and ``ui.text``.
"""
