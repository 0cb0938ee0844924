#!/bin/sh
# After the files of the package are there: the user, the folders, and, if relay ran before, the new relay.
set -e

if command -v systemd-sysusers >/dev/null; then # else the next boot does it
	systemd-sysusers relay.conf
	systemd-tmpfiles --create relay.conf
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart relay.service || true # an update is done all the same; systemctl status relay says what it needs
fi
