"""What archives of imagery look like on disk."""
