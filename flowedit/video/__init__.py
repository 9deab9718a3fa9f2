"""Frames in, frames out: faces followed from frame to frame, and an edit carried along with them."""
