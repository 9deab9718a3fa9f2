"""Text and image to embeddings to targets."""
