"""Made from the repository's `proto` folder by `generate.py`; not for editing."""
