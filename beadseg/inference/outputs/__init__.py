"""The files of a prediction, and the measurements in them."""
