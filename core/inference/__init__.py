"""Predictions for texts that users type, in a process that holds models and adapters.

The web server imports only ``process`` and ``messages``, which do not import torch. May import
``core.training`` and ``core.models``.
"""
