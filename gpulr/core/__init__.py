"""Rows, targets and the problem: cost and gradient of all columns, block by block."""
