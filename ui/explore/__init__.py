"""Parts of the page Explore: filters, balance and lengths, words and texts."""
