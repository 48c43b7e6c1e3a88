"""The application without its user interface: data, training, evaluation, jobs, command line.

Every package may import the modules directly in this one (errors, settings, config, presets,
progress, access). ``core`` never imports Streamlit, ``ui`` or ``pages``.
"""
