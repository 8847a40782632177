"""Who can be reached where: the registrar and the location service (RFC 3261 10, RFC 3327)."""
