"""Features and labels -> numbers. Plain arrays in and out; used by monitors, probes and reports alike."""
