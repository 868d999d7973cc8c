"""What every program needs to start, run and stop plainly: options, log lines, inbox, signals."""
