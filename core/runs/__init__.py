"""Runs as pages and the command line see them: requests, files, results, limits, estimates.

Imports no ML libraries. May import every package of ``core`` below it: ``estimate``, ``inference``,
``training``, ``evaluation``, ``people``, ``data``, ``models``, ``storage``.
"""
