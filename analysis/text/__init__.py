"""Numbers as words: formatting, outcomes, findings."""
