"""The documents that travel on the bus, one module per family. Pure data: no I/O, no clock."""
