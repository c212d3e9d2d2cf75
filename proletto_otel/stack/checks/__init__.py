"""What `stack check` knows of a folder with the stack: pure functions from texts to findings."""
