"""The documentation is run as a reader would run it: its commands in terminals, its files written, its outputs compared."""
