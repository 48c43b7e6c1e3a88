"""Runs that somebody brings: what a folder or zip may hold, and what is checked before any of it is used."""
