"""Parts of the page Compare: verdicts, tables, curves, details of one pair."""
