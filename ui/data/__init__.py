"""Parts of the page Your data: the form for a new dataset, columns, saved datasets."""
