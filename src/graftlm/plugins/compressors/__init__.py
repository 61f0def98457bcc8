"""One file for each of the compressors; the file's name is its name in a recipe."""
