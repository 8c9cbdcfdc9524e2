"""Tracking: which detections of one camera are the same thing, result after result."""
