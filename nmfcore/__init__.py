"""Nonnegative matrix factorization with an answer to 'how many parts, which, how sure?'."""

__version__ = "0.1.0"
