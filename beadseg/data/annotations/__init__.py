"""Labels of other programs: outlines, boxes, run lengths and centres."""
