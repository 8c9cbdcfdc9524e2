"""What predicts: the user's function, a model, or what framefan brings along."""
