"""The bus, as the programs use it: one small port, and its paho adapter."""
