"""Mutation testing: small mistakes are written into a stage, one at a time, and its own tests must notice each."""
