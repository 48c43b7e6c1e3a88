"""Parts of the page Quality: findings and the cleaning recipe."""
