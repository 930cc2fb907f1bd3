"""Kernels that are compiled on the machine they run on, where a compiler is at hand."""
