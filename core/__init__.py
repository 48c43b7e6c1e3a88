"""The application without its user interface: data, training, evaluation, jobs, command line.

The modules directly in this package (errors, settings, config, presets, progress, access,
quantization) are the ground that every other package may import. ``core`` never imports Streamlit,
``ui`` or ``pages``.
"""
