"""Certificates: what TLS shows to peers, made here when nobody gave us any, and renewed without a restart."""
