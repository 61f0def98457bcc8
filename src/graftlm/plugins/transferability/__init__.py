"""One file for each of the transferability; the file's name is its name in a recipe."""
