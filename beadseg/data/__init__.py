"""Reading and writing images; generated beads; tiles; batches."""
