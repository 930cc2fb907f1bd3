"""Rows, targets, margins and the problem: cost and gradient of all models, block by block.

Imports backend and logistic. A problem of kernels' own overrides what these do better, and what of
it solvers may use (`Problem.recursion`, `Problem.descend`) is None here.
"""
