#!/bin/sh
# Ends by a segmentation fault.
kill -SEGV $$
