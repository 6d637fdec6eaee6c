"""How a process runs: device, checkpoints, run folder and log, lock, signals, progress, faults for tests."""
