"""Keys, rings, their file and their rotation."""
