"""Parts of the page New run: the form, the time budget, the summary with its cost, the launch."""
