"""Requests and results of the kinds of job, and the jobs that need no ML library.

Free of ML libraries at import. May import ``core.jobs.launching`` and ``core.jobs.context``.
"""
