"""The report's files and its HTML page."""
