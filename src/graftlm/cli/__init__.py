"""One file for each verb: parse, call, print. A file here is a verb; its `command` is what runs."""
