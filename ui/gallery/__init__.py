"""The Gallery page: bundled runs that failed, and the bug hunt."""
