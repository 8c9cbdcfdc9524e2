"""Predictors: the user's function or class, an ONNX model, or a built-in one."""
