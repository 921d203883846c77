"""Cameras, rigid transforms and boxes. Frames follow REP-103."""
