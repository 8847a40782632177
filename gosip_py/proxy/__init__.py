"""The stateful proxy: routes, response contexts and the sessions that pass through (RFC 3261 16)."""
