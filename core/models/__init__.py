"""Base models: which are offered, where their files are found, and what they consist of.

Reads configuration files and safetensors headers, never weights. May import ``core.storage``.
"""
