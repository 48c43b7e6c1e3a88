"""Parts that several pages use: tables, charts, job progress, pickers. May import
``ui.session``.
"""
