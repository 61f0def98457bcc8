"""Pages and tables from values."""
