"""The command line `mae-bench`: thin, without logic."""
