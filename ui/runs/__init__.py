"""Parts of the page Runs: list, details, curves, actions, sweeps, import and backup."""
