"""Pure tensor and array code: encoding, pooling, heads, statistics. No policy, no options."""
