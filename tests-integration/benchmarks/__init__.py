"""Speed, measured as a ratio against a named peer that does the same work and gets the same results."""
