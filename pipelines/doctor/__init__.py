"""What is wrong with this machine, and what to do about it: `mae-bench doctor`."""
