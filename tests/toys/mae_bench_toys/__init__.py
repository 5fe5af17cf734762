"""A package that adds to MAE-Bench what others may add: a task, an encoder, a method."""
