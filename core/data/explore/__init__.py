"""The text index of a prepared dataset and the statistics of the Explore page.

May import ``core.data.dataset``, ``core.data.rows`` and ``core.data.sources``.
"""
