"""gosip against software that nobody here wrote."""
