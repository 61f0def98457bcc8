"""Plug-ins: the folder is the kind, the file name is the name in a recipe."""
