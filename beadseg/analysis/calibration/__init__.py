"""Counts of a dilution series: intervals, straight line, blank, concentration."""
