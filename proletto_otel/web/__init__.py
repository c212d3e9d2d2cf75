"""What is served over HTTP: probes, `/metrics`, admin pages and JSON, and who may see them."""
