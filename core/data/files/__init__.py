"""Uploaded tables: format detection, readers, label columns, and building splits.

May import ``core.data.rows`` and ``core.data.sources``.
"""
