"""Who uses the server: codes and rules of a class, OpenID Connect sign-in, and whose turn it is.

May import ``core.storage``.
"""
