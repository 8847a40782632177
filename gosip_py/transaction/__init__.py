"""Who is answering what: transactions, their timers, validation and authentication (RFC 3261 17, 22, RFC 6026)."""
