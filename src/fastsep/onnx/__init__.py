"""Convolutional networks from ONNX files: load, optimise, plan memory, run."""
