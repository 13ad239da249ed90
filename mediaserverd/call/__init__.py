"""What happens in one call: event, now -> commands, deadline. Pure."""
