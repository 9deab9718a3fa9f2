"""What an edit does, in numbers, words and pictures."""
