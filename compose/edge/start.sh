#!/bin/sh
# nginx, and beside it what has it take a new certificate, and what finds the gateway. The container
# ends with nginx. A reload needs a second process that may send it a signal, hence one user for all.
here=/usr/lib/appliance
gateway="gateway 8080 /tmp/gateway.conf"
# Words apart, and none of them from outside.
# shellcheck disable=SC2086
sh $here/watch-gateway.sh once $gateway
# shellcheck disable=SC2086
sh $here/watch-gateway.sh 2 $gateway nginx -c /etc/nginx/nginx.conf &
sh $here/watch-certificate.sh /run/tls 10 nginx -c /etc/nginx/nginx.conf &
exec nginx -c /etc/nginx/nginx.conf
