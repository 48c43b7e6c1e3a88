"""Predictions for texts that users type: one process that holds models and adapters.

``process`` and ``messages`` are free of torch and are what the web server imports. May import
``core.training`` and ``core.models``.
"""
