"""Rows of benchmarks/faults.py; each module tests some promises."""
