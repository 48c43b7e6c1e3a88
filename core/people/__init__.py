"""Who uses the server: accounts of a class, its codes and rules, and OpenID Connect sign-in.

May import ``core.storage``.
"""
