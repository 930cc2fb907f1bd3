"""Rows, targets, margins and the problem: cost and gradient of all models, block by block.

Imports backend and logistic; knows neither kernels nor solvers.
"""
