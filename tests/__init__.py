"""The tests mirror gosip_py; run them with `make test` or `python -W error::RuntimeWarning -m twisted.trial tests`."""
