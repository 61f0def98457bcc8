"""One file for each of the optimizers; the file's name is its name in a recipe."""
