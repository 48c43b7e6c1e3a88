"""The rows of benchmarks/faults.py: each module holds the tests of some promises."""
