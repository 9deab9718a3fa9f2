"""What an edit is to do, and how it ends: what the optimizer and the predictor share."""
