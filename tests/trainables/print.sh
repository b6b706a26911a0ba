#!/bin/sh
# Has no support for swath: it only prints.
echo "epoch 1 loss=0"
sleep 0.05
echo "epoch 2 loss=1"
sleep 0.05
printf 'epoch 3 loss=2'
