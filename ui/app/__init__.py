"""The frame of each page, the sidebar, and requests to the inference process.

May import ``ui.widgets``.
"""
