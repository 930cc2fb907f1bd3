"""Readers, one module for each file format, and the checks that they share.

They import `gpulr.datasets.dataset` and each other; everything above imports them.
"""
