"""Models: packs, sessions, detectors, faces and the quality of a shot."""
