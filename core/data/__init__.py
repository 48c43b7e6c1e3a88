"""Datasets: sources, preparation, saving, cleaning and tokenization.

``files`` reads uploaded tables, ``explore`` indexes and counts, ``quality`` looks for faults. May
import ``core.storage``; only ``load`` imports the ``datasets`` library.
"""
