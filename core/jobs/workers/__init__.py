"""Code that runs inside a worker process, one module per group of kinds. Imports ML libraries."""
