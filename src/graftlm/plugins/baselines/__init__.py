"""One file for each of the baselines; the file's name is its name in a recipe."""
