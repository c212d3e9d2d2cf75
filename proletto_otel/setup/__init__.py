"""The composition root: the only place that knows every room, and hands each its callables."""
