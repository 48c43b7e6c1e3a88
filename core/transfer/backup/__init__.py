"""All runs of a home folder in one zip file, and their validation on the way back."""
