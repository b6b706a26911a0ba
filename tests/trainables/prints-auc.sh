#!/bin/sh
# Prints its result in a form that a hasty expression does not find.
echo "epoch 1"
echo "Test AUC: 0.99"
echo "auc on the training set: 1.0" >&2
