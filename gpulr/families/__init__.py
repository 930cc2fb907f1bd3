"""Families of models that share their rows, over one pipeline (:mod:`gpulr.families.prepare`).

What is here trains: a family of columns is a file of its own, with what only it needs beside it. It
may import models, validation, solvers and what is below, data sets and pictures for its results.
"""
