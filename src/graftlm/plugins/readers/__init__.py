"""One file for each of the readers; the file's name is its name in a recipe."""
