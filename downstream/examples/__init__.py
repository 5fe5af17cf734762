"""Data of the worked examples, docs/examples.md: made by stated recipes, nothing downloaded."""
