"""Rounds of learning on a drive that is being replayed."""
