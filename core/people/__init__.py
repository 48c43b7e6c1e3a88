"""Users of the server: codes and rules of a class, OpenID Connect sign-in.

May import ``core.storage``.
"""
