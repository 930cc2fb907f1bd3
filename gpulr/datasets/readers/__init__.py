"""Readers, one module for each file format (text tables: two), and the checks that they share.

They import `gpulr.errors`, `gpulr.words` and each other; everything above imports them.
"""
