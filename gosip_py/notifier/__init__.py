"""The notifier: who watches what of whom, and is told when it changes (RFC 6665, RFC 3903).

`Notifier` answers SUBSCRIBE and PUBLISH; an event package of packages/ knows what there is to tell.
"""
