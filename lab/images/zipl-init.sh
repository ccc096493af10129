#!/bin/sh
# What an s390x image runs once, while it is built: writes the boot record, and powers off.
mount -nt proc proc /proc
mount -nt sysfs sysfs /sys
mount -no remount,rw / && zipl && sync && echo "zipl: written"
mount -no remount,ro /
exec poweroff -ff
