"""Adapters and backups that users upload: what is accepted, what is checked, and how they become
runs.

Nothing is unpacked to disk unchecked, and no pickle is opened.
"""
