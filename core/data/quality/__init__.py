"""What is wrong with a dataset before anything is trained on it. Frames hold split, row, text and label (a class id), one line a text."""
