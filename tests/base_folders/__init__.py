"""Folders of base models, built by code after public reports, with the expected result of each.

``cases.py`` lists them: a folder is accepted, and then the app computes what transformers and PEFT
compute, or it is refused when it is chosen. ``changes.py`` has the ways to change a folder.
"""
