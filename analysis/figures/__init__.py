"""The figures: each draws one tidy frame on one axes and returns it, `f(frame, ax) -> ax`. No chance, no clock."""
