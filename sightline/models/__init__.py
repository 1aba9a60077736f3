"""Models: packs, sessions, detectors, embedders and the quality of a face."""
