"""One file for each of the exporters; the file's name is its name in a recipe."""
