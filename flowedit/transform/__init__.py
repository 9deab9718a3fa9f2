"""Fields placed in a photo, and what they do there."""
