"""Fuzzing: targets, a corpus of good inputs, an engine that needs nothing, and the way to a coverage-guided one."""
