"""A finished run in the forms in which it is taken away, each proved by replay before it is offered."""
