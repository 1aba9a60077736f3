"""Frames to tracks, faces and snapshots."""
