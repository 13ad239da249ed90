"""What every role process needs from its host: TLS files, tokens, HTTP listeners, logs, health, notification."""
