"""What old files take on the disk, and their removal by kind: `mae-bench clean`."""
