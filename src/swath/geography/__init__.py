"""Where tiles lie on the ground: places, distances between them, leaks from train to test, block splits."""
