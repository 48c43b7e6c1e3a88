"""The lesson next to every page, and the parts of the page Lesson."""
