"""Inputs of the security tests, and what a process opens, loads and writes."""
