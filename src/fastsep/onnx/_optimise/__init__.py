"""Passes: small functions from Graph to Graph, one kind a file."""
