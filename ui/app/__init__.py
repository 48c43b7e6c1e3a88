"""The frame of each page, the sidebar, and questions to the inference process. May import
``ui.widgets``.
"""
