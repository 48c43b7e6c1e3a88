"""Parts of the page Runs: list, detail, live metrics, actions, imports, backups."""
