"""Why predictions are poor: causes, the signs of each, and the page of them."""
