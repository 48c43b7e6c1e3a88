"""Runs that leave and enter this installation: exports, imports, backups. May import
``core.runs``.
"""
