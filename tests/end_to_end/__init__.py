"""A whole server in its own process, and phones that do what the test says, also what no phone should."""
