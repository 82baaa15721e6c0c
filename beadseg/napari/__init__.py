"""The plugin for napari, which napari finds by `napari.yaml`."""
