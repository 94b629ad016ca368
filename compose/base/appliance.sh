#!/bin/sh
# -P: a folder `appliance` where the command was typed must not be run.
exec python3 -P -m appliance.cli.main "$@"
