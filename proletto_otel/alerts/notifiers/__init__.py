"""Ways to reach a person: log entry, Slack, email, webhook; each on a thread of its own."""
