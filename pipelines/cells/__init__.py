"""Cells of the matrix: one stage for one encoder, in a process and a folder of its own."""
