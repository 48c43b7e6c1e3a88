"""Parts of the page Classify: answers, explanation, a file of texts."""
