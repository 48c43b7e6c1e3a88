"""The index of a prepared dataset and what the Explore page computes from it.

May import ``core.data.dataset``, ``core.data.rows`` and ``core.data.sources``.
"""
