"""Fakes, sample data and drivers that several tests and benchmarks use. Fixtures are in the
conftest.py files.
"""
