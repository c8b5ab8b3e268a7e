"""The report: one HTML page that holds all it needs."""
