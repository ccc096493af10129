#!/bin/sh
# Flannel's CNI plugin, which is beside this, once flanneld has said what the node's network is: after its node's start a pod may be
# there some seconds before. The plugin alone would fail then, and kubelet try again no sooner than 10 s later.
subnet=/run/flannel/subnet.env
if [ "$CNI_COMMAND" = ADD ]; then
	tries=150
	until [ -s "$subnet" ] || [ "$tries" -eq 0 ]; do
		sleep 0.2
		tries=$((tries - 1))
	done
fi
exec "${0%/*}/flannel-plugin" "$@"
