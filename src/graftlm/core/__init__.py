"""What everything stands on: registry, errors, hashing, atomic files, cache, seeds, log. Starts without torch."""
