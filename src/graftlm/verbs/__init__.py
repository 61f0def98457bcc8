"""The verbs that stand beside the pipeline: what the command line prints, as functions that return values."""
