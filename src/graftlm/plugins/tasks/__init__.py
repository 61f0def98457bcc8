"""One file for each of the tasks; the file's name is its name in a recipe."""
