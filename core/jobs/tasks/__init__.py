"""One module per kind of job: its request, where its results are stored, and how they are read.

Free of ML libraries at import. May import ``core.jobs.context`` and ``core.jobs.processes``.
"""
