"""Hostile files, settings and pictures, kills and interrupts; see `__main__`."""
