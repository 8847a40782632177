"""MESSAGE for people who are away (RFC 3428 7): kept in the store, delivered when one of their phones is there."""
