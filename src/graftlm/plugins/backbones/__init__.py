"""One file for each of the backbones; the file's name is its name in a recipe."""
