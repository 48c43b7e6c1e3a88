"""A server and a test driver of the app, and what a page shows."""
