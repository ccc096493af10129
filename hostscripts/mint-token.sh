#!/usr/bin/env bash
# The value of a bootstrap token for one node, printed. The cluster accepts it only while the node is awaited.
# shellcheck source=hostscripts/lib.sh
. ./lib.sh

kubeadm token generate >&3
