"""Measurements on real servers, trainings and disks, and the faults of docs/reliability.md.

A benchmark runs as ``python benchmarks/NAME.py`` or as ``python -m benchmarks.NAME``. In the first
case Python puts ``benchmarks/`` on the import path and not the repository root, from which
``core``, ``tests.support`` and ``benchmarks`` are imported; the line ``sys.path.insert`` at the top
of each script adds the root.
"""
