"""Parts of the page Classify: answers, explanation, nearest texts, a file of texts."""
