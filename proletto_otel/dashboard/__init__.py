"""Admin pages and who may see them."""
