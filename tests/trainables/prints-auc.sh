#!/bin/sh
# Prints its result in a form that an inaccurate regular expression does not match.
echo "epoch 1"
echo "Test AUC: 0.99"
echo "auc on the training set: 1.0" >&2
