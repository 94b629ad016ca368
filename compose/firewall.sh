#!/usr/bin/env bash
# The rules that no Compose file can state: nothing that a container begins gets out of its network.
#
#   1. From the stack's bridges, a new connection leads nowhere: not out, not to another bridge, and
#      not to this host, which every container could reach by its bridge's address.
#   2. Into them from elsewhere comes only what was published: TLS, to the edge.
#   3. Between neighbours: the edge calls the gateway, and not the other way round; whoever is on
#      `back` is called by the gateway and cannot call it, since the gateway believes its caller
#      about a visitor's address. (Where the kernel shows bridged packets to nftables: br_netfilter,
#      which Docker switches on for the network `edge`.)
#   4. What belongs to a connection that was let in may pass both ways.
#
# They stand in an nftables table of their own, before Docker's rules: a drop here is final, and no
# restart of Docker, no `iptables -F` and no user rule of Docker's undoes it. Packets are dropped
# and not refused, since a refusal is an answer. IPv4 and IPv6.
#
# Usage: firewall.sh load|check|remove|print      as root, before the stack starts
#        check exits 1 when the rules are not exactly these
set -euo pipefail

prefix=${APPLIANCE_BRIDGE:-appl}
table=${prefix}_stack
port=8443    # inside the edge; whatever it is published as
gateway=8080 # inside the gateway
# Where an engine of somebody else listens, which an overlay may put beside the gateway: Ollama,
# llama-server. On `back` nobody calls anything but these, least of all such an engine the gateway.
engines='8081, 11434'

[[ $prefix =~ ^[a-z]{1,8}$ ]] || {
    echo "error: APPLIANCE_BRIDGE must be one to eight letters a-z" >&2
    exit 2
}

rules() {
    cat <<RULES
table inet $table {
	chain input {
		type filter hook input priority -200; policy accept;
		iifname "$prefix-back" jump inward
		iifname "$prefix-edge" jump inward
		iifname "$prefix-front" jump inward
	}
	chain forward {
		type filter hook forward priority -200; policy accept;
		iifname "$prefix-front" oifname "$prefix-front" jump front
		iifname "$prefix-back" oifname "$prefix-back" jump back
		iifname "$prefix-edge" jump established
		oifname "$prefix-edge" jump published
		iifname "$prefix-back" drop
		iifname "$prefix-front" drop
		oifname "$prefix-back" drop
		oifname "$prefix-front" drop
	}
	chain front {
		ct state established accept
		tcp dport $gateway ct state new accept
		drop
	}
	chain back {
		ct state established accept
		tcp dport { $engines } ct state new accept
		drop
	}
	chain inward {
		ct state established accept
		drop
	}
	chain established {
		ct state established accept
		drop
	}
	chain published {
		ct state established,related accept
		tcp dport $port ct state new accept
		drop
	}
}
RULES
}

fail() {
    printf 'error: %s\nnext: %s\n' "$1" "$2" >&2
    exit 1
}

need() {
    command -v nft >/dev/null || fail "nft is missing" "apt-get install nftables"
    [ "$(id -u)" -eq 0 ] || fail "only root can see or change the firewall" "run this as root"
}

load() {
    # One transaction: at no moment are there half of the rules, or none.
    { printf 'table inet %s {}\ndelete table inet %s\n' "$table" "$table" && rules; } | nft -f -
    check
}

# Loads nothing: compares what is there with what should be, in nft's own words for both.
check() {
    local there wanted
    there=$(nft -s list table inet "$table" 2>/dev/null) ||
        fail "the firewall of the stack is not loaded" "compose/firewall.sh load"
    wanted=$(as_nft_says)
    [ "$there" = "$wanted" ] ||
        fail "the firewall of the stack was changed" "compose/firewall.sh load, and find out by whom"
}

# Prints the wanted rules as nft prints them. They are loaded into a network of their own for that,
# so that a difference in wording between versions of nft is none in meaning.
as_nft_says() {
    rules | unshare --net sh -c 'nft -f - && nft -s list table inet '"$table"
}

case ${1:-} in
load) need && load ;;
check) need && check ;;
remove) need && nft delete table inet "$table" ;;
print) rules ;;
*)
    echo "usage: firewall.sh load|check|remove|print" >&2
    exit 2
    ;;
esac
