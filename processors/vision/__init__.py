"""The vision service: frames to tracks, faces and snapshots."""
