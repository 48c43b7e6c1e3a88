"""Parts of the page Evaluate: headline, confusion matrix, scores, side-by-side comparison."""
