"""What pages are made of: markup, charts, pictures of tiles, maps."""
