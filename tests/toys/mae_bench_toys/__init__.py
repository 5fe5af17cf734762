"""What somebody else's package looks like that adds a task, an encoder and a method of pretraining.

Its folder is put on the path by tests; configs name its modules in `custom_imports`.
"""
