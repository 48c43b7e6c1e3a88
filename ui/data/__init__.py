"""Parts of the page Your data: uploading files, choosing columns, saved datasets."""
