"""Parts of the page Compare: choice and verdicts, results, details of one pair."""
