"""What the notebooks share: small modules, each with one job. Start with `setup`, `models` and `injection`."""
