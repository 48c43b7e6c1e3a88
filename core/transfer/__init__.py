"""Exports of runs, and imports of adapters and backups. May import ``core.runs``."""
