"""One file for each kind of plug-in: its verbs, and the frozen values that pass between stages."""
