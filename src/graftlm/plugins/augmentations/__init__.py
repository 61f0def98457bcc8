"""One file for each of the augmentations; the file's name is its name in a recipe."""
