"""Faults: whatever happens to a study, the same command finishes it, and it holds what an undisturbed one holds."""
