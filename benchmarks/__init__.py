"""What the server costs beside its peers: `python -m benchmarks`, see docs/performance.md for how to read the table."""
