"""One file for each of the methods; the file's name is its name in a recipe."""
