"""Bundled runs and data: the demo corpus, the example run, and runs that fail on purpose."""
