"""The bench's own instruments: a meter that is believed must be shown to notice what it says it notices."""
