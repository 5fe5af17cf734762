"""Tasks on top of an encoder."""
