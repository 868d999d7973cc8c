"""What each command does, one module per activity. Imported only when the command runs."""
