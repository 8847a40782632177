"""Calls: who a request is for, and the journal of what became of it."""
