"""The renderer: microscope images with exact truth."""
