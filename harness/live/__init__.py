"""Real asynchrony on Ray: lag is measured, not set."""
