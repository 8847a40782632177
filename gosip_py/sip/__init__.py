"""The wire: SIP messages as bytes, header tables and decoded values (RFC 3261 7, 19, 20, 25).

Pure: nothing here reads a clock or a socket. Read grammar, uri, headers, message, parser, stream in this order.
"""
