"""What several test modules need: real brokers, and nothing that replaces the thing under test."""
