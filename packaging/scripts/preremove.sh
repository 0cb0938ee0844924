#!/bin/sh
# Before the files of the package go: stop relay, but not for an update. dpkg says "remove", rpm counts what is left.
set -e

case "$1" in
remove | 0)
	[ ! -d /run/systemd/system ] || systemctl disable --now relay.service || true
	;;
esac
