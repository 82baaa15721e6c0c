"""Training: pure steps inside, the loop, checkpoints and tracking around them."""
