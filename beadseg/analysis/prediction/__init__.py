"""The page of a prediction: sizes, shapes, groups and pictures of what was found."""
