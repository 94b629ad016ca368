#!/bin/sh
# nginx, and beside it what has it take a new certificate. The container ends with nginx.
# A reload needs a second process that may send it a signal, hence one user for both.
sh /usr/lib/appliance/watch-certificate.sh /run/tls 10 nginx -c /etc/nginx/nginx.conf &
exec nginx -c /etc/nginx/nginx.conf
