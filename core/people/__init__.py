"""Users of the server: codes and rules of a class, OpenID Connect sign-in, and the queue order.

May import ``core.storage``.
"""
