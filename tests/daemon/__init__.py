"""The daemon as an administrator meets it: real processes, signals, files."""
