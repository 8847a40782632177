"""Dialogs as a user agent keeps them (RFC 3261 12 to 15, RFC 3262, 3311, 3515, 3891, 4028)."""
