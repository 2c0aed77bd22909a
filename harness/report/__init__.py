"""A suite's results folder in, comparison tables and a picture out."""
