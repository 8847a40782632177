"""What the server costs beside its peers: `python -m benchmarks [--quick]`.

Reading order: campaign (what is measured, and in which order), load (SIPp), peers (the servers), measure (/proc).
"""
