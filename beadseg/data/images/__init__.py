"""Image files of every make as planes of numbers, and what their metadata say."""
