"""Training: assembling a model, the one gradient loop, its levers, snapshots and checkpoints."""
