"""Transfer learning for language models, end to end: from a pretrained model and your text to a checked bundle."""

__version__ = "0.1.0"
