"""beadseg finds every microbead in a microscope image."""

__version__ = "0.1.0"
