"""What a recipe asks for, as cells, before any of them runs."""
