"""One engine for every gradient training: mmengine's Runner, with our hooks."""
