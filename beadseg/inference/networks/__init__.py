"""A network applied to an image: by which library, and window by window."""
