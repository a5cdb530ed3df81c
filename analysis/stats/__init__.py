"""Numbers of a study: counts, intervals, tests, limits, costs."""
