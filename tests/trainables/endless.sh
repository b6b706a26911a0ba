#!/bin/sh
# Runs until it is asked to end, or for a minute.
exec sleep 60
