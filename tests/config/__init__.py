"""Configuration: what an administrator writes, and what they are told."""
