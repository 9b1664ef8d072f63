#!/bin/sh
# A notify script for ramp nodes: two nodes that share a VIP, RAMP_IP, which is the far end of the tunnel of an edge load
# balancer outside the cluster network. It makes this node's end of the tunnel. It is called with
#
#     INSTANCE name MASTER|BACKUP|FAULT|STOP priority
#
# The tunnel is made at MASTER, and at BACKUP already, so that a takeover waits for no script: without RAMP_IP on the node
# the tunnel carries nothing, in neither direction. It is removed at STOP. Both calls may come twice.
#
# Fill in the settings here, or put NAME=value in front of the script where keepalived.conf names it.
set -eu

RAMP_IP=${RAMP_IP:-}           # the VIP
EDGE_IP=${EDGE_IP:-}           # the edge load balancer's own address
TUNNEL_IP1=${TUNNEL_IP1:-}     # the edge's address in the tunnel
TUNNEL_IP2=${TUNNEL_IP2:-}     # this end's address in the tunnel, the same on both ramp nodes
TUNNEL=${TUNNEL:-tun1}         # name of the tunnel's interface
KIND=${KIND:-ipip}             # ipip, or vxlan
# VXLAN only. The edge remembers the Ethernet address of TUNNEL_IP2, so it must be the same on both ramp nodes.
VNI=${VNI:-51}
MAC=${MAC:-02:00:5e:00:00:33}

fail() {
    echo "ramp-node notify: $*" >&2
    exit 1
}

make_tunnel() {
    for name in RAMP_IP EDGE_IP TUNNEL_IP1 TUNNEL_IP2; do
        eval "value=\$$name"
        [ -n "$value" ] || fail "$name is not set: fill in the settings at the top of $0"
    done
    if ! ip link show dev "$TUNNEL" >/dev/null 2>&1; then
        # local RAMP_IP: the edge expects packets from there, not from this node's own address.
        case $KIND in
        ipip) ip link add name "$TUNNEL" type ipip local "$RAMP_IP" remote "$EDGE_IP" ;;
        vxlan) ip link add name "$TUNNEL" address "$MAC" type vxlan \
            id "$VNI" local "$RAMP_IP" remote "$EDGE_IP" dstport 4789 ;;
        *) fail "KIND is $KIND, expected ipip or vxlan" ;;
        esac
    fi
    ip address replace "$TUNNEL_IP2" peer "$TUNNEL_IP1" dev "$TUNNEL"
    ip link set dev "$TUNNEL" up
}

remove_tunnel() {
    if ip link show dev "$TUNNEL" >/dev/null 2>&1; then
        ip link delete dev "$TUNNEL"
    fi
}

PATH=$PATH:/usr/sbin:/sbin
command -v ip >/dev/null || fail "there is no ip command (package iproute2)"
case ${3:-} in
MASTER | BACKUP) make_tunnel ;;
FAULT) ;;
STOP) remove_tunnel ;;
*) fail "the state is '${3:-}', expected MASTER, BACKUP, FAULT or STOP" ;;
esac
