"""Datasets: where they come from, how they are prepared, saved, cleaned and tokenized.

``files`` reads tables that users upload, ``explore`` indexes and counts, ``quality`` looks for
faults. May import ``core.storage``; only ``load`` imports the ``datasets`` library.
"""
