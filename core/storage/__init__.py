"""Durable files, the SQLite database, and a job with its states.

May import only the ground modules of ``core``. SQL is written here and nowhere else.
"""
