"""The three arrows of MAD-X: language.py, task.py, evaluate.py. They read as the paper does."""
