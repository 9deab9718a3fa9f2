"""From parameters to offsets: mathematics on a square, which knows no face."""
