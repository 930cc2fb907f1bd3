"""Families of models that share their rows, over one pipeline (:mod:`gpulr.families.prepare`).

What is here trains: a family of columns is a file of its own, with what only it needs beside it::

    training                                                    a class or a label a column
    search      cross_validation, folds, search_result          and a value of C, and a fold
    bootstrap   intervals                                       and a resample of the rows
    out_of_fold several_sets                                    and a fold that is held out
    learning_curve                                              and a fold, and a number of rows
    permutation_test                                            and a fold, and an order of labels
    all         inputs, settings, prepare, scoring, advice, interrupt

It may import models, validation, solvers and what is below, data sets and pictures for its results.
"""
