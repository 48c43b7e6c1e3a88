"""Background jobs: actions that users take, the supervisor process, and the worker process.

``kinds`` has one row per kind of job; ``launching`` queues, finds and reads jobs of every kind.
The web server may import ``tasks``, but not ``workers``, which imports ML libraries. May import
every package of ``core`` except ``cli`` and ``demo``.
"""
