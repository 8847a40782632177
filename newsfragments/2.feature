Phones register over UDP, TCP and TLS and call each other through the proxy; every call stands in the journal, which the HTTP API shows.
