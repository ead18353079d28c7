"""The record asked: a store for queries, figures, and reports; fed from the journal's files."""
