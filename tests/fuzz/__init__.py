"""Coverage-guided fuzzing of everything that reads what peers send.

``python -m tests.fuzz --seconds 60`` runs it, `targets` says what is fed with what, and test_corpus.py replays every
input of the corpus without the fuzzer.
"""
