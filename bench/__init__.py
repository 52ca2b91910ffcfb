"""The bench room: benchmarks of fastsep on a photograph and on the layers of real networks."""
