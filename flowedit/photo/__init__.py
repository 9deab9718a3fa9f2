"""A photo as it came, and back into a file."""
