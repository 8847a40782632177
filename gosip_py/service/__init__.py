"""The wiring: opens the rooms bottom-up, closes them top-down.

`server` has the order; each other file opens one part.
"""
