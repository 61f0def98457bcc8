"""One file for each of the balancers; the file's name is its name in a recipe."""
