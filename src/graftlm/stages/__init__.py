"""The stages of a run, independent of each other; `pipeline` wires them."""
