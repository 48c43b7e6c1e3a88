"""What runs inside a worker process, one module per kind of job. Imports ML libraries."""
