"""One file for each of the losses; the file's name is its name in a recipe."""
