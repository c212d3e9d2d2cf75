"""How a record looks: a line of text, a line of JSON."""
