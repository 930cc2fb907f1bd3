"""CUDA kernels: their sources, layout, launch, and when a problem's passes go through them.

Imports core and backend, which compiles and launches them.
"""
