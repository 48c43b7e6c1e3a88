"""Parts of the page New run: the form, the estimate, the summary before the launch."""
