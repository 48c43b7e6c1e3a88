"""Lessons: the file that a teacher writes, an open lesson with its guesses, and its preparation.

May import every package of core except ``cli``, ``demo`` and ``reports``.
"""
