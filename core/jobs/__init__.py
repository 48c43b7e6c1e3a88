"""Background jobs: actions that users take, the supervisor process, and the worker process.

``kinds`` has one row per kind of job; ``launching`` queues, finds and reads jobs of every kind.
``tasks`` holds what the web server may import of each kind of job, ``workers`` what needs ML
libraries. May import every package of ``core`` except ``cli`` and ``demo``.
"""
