"""Charts as SVG, drawn by the server: they need no script, print, and have a text alternative."""
