"""Chaos on virtual time: a whole server, many phones, and a network that loses, doubles, delays and breaks.

A seed decides everything: who is there, who calls whom, who hangs up, dies or forgets, and what the network does.
Afterwards the invariants must hold. ``python -m tests.chaos`` plays many seeds, ``--seed N --ladder`` one again.

Reading order: world (one run), phone and what it does (asking, calling, ringing, talk, others), wire and invariants
(what must hold), ladder. An office is a world with a switch: office, handset and what that does besides (dialled,
alert, conversation, referral, media), audit and bridged (what must hold there).
"""
