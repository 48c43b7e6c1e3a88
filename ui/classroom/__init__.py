"""Parts of the page Class: its people, and its projector view. May import widgets and session."""
