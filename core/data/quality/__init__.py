"""Checks of a dataset before training: duplicates, leakage, label errors, odd texts, and fixes.

Data frames have split, row, text and label (a class id), one row per text. May import
``core.data.explore``, ``core.data.dataset`` and ``core.data.recipe``.
"""
