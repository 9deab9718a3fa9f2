"""The optimizer: from a photo and a prompt to an edit."""
