"""Where the face is, and which pixel belongs to what."""
