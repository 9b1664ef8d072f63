#!/bin/bash
# Run at every change of state, one run after the other for each virtual router. What it prints is in the pod's log.
# $1 INSTANCE   $2 name of the virtual router   $3 MASTER, BACKUP, FAULT or STOP   $4 priority
case $3 in
    MASTER) echo "$2: this node holds the virtual addresses now" ;;
    BACKUP) echo "$2: another node holds the virtual addresses" ;;
    FAULT) echo "$2: the check fails on this node, or its interface is down" ;;
    STOP) echo "$2: the pod ends" ;;
esac
