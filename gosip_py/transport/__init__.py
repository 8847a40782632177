"""Bytes to and from peers: UDP, TCP and TLS (RFC 3261 18, RFC 3581, RFC 5626)."""
