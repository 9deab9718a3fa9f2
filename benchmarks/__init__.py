"""Benchmarks: run them from the repository's root; README.md tells the method."""
