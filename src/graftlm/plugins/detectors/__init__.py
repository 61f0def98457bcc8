"""One file for each of the detectors; the file's name is its name in a recipe."""
