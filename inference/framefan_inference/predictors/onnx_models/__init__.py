"""Detectors in ONNX files, for predictor references that begin with `onnx:`."""
