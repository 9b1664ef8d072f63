"""Whole files as people have them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from tests.config.reading import FILE, read, warnings
from vrrpd.config.keepalived import parse
from vrrpd.config.model import (
    AnnouncementPolicy,
    Authentication,
    Check,
    Command,
    Configuration,
    GlobalSettings,
    InitialState,
    NotifyScripts,
    TcpTarget,
    TrackedCheck,
    UnicastPeer,
    VirtualAddress,
    VirtualRouterConfig,
)
from vrrpd.config.render import to_keepalived_conf
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.timing import Version

HAPROXY_PAIR = """\
! Configuration File for keepalived

global_defs {
    notification_email {
        ops@example.com
    }
    notification_email_from lb1@example.com
    smtp_server 127.0.0.1
    smtp_connect_timeout 30
    router_id lb1
    enable_script_security
    script_user root
}

vrrp_script chk_haproxy {
    script "/usr/bin/killall -0 haproxy"   # cheaper than pidof
    interval 2
    weight 2
    fall 2
    rise 2
}

vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 101                    # 100 on the other one
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        192.0.2.100/24 dev eth0 label eth0:vip
        192.0.2.101
    }
    track_script {
        chk_haproxy
    }
    notify_master "/etc/keepalived/master.sh 'to master'"
}

virtual_server 192.0.2.100 443 {
    delay_loop 6
    lb_algo rr
    lb_kind NAT
    protocol TCP

    real_server 198.51.100.10 443 {
        weight 1
        SSL_GET {
            url {
                path /
                digest ff20ad2481f97b1754ef3e12ecd3a9cc
            }
            connect_timeout 3
        }
    }
}
"""

UNICAST_PAIR_IN_A_CLOUD = """\
$PEER_A=192.0.2.11
$PEER_B=192.0.2.12

vrrp_script web {
    script "</dev/tcp/127.0.0.1/443"
    interval 1
    timeout 1
    fall 3
}

vrrp_instance cloud
{
    state BACKUP
    nopreempt
    interface ens5
    virtual_router_id 10
    version 3
    advert_int 0.2
    @a priority 150
    @b priority 100
    @a unicast_src_ip $PEER_A
    @b unicast_src_ip $PEER_B
    unicast_peer {
        @^a ${PEER_A}
        @^b ${PEER_B}
    }
    virtual_ipaddress
    {
        192.0.2.10/32 dev ens5
    }
    track_script
    {
        web
    }
    notify "/usr/local/bin/assign-floating-ip --region eu"
}
"""

IPV6_PAIR = """\
global_defs {
    vrrp_version 3
    vrrp_garp_master_refresh 60
}
vrrp_instance v6 {
    interface bond0.100
    virtual_router_id 6
    priority 200
    advert_int 0.5
    preempt_delay 30
    virtual_ipaddress {
        fe80::6
        2001:db8::1/64 preferred_lft forever
    }
    virtual_ipaddress_excluded {
        192.0.2.1/24 brd +
    }
}
"""

OPENSHIFT_LIKE = """\
global_defs {
   max_auto_priority 99
   enable_script_security
   script_user root
   notification_email {
     root@localhost
   }
   notification_email_from ipfailover@openshift.local
   smtp_server 127.0.0.1
   smtp_connect_timeout 30
   router_id OpenShift_IPFailover
}

vrrp_script chk_OpenShift_IPFailover {
    script "/bin/bash -c '</dev/tcp/192.0.2.5/80'"
    interval 2
}

vrrp_instance OpenShift_IPFailover_VIP_1 {
   interface eth0
   state MASTER
   virtual_router_id 1
   priority 87
   preempt_delay 300

   authentication {
      auth_type PASS
      auth_pass OpenShift-IPFailover
   }

   track_script {
      chk_OpenShift_IPFailover
   }

   virtual_ipaddress {
      192.0.2.40 dev eth0
   }
}

vrrp_instance OpenShift_IPFailover_VIP_2 {
   interface eth0
   state BACKUP
   virtual_router_id 2
   priority 62
   preempt_delay 300

   authentication {
      auth_type PASS
      auth_pass OpenShift-IPFailover
   }

   track_script {
      chk_OpenShift_IPFailover
   }

   virtual_ipaddress {
      192.0.2.41 dev eth0
   }
}
"""


def test_a_haproxy_pair() -> None:
    root = "root"
    assert read(HAPROXY_PAIR) == Configuration(
        settings=GlobalSettings("lb1", root, enable_script_security=True),
        checks=(Check("chk_haproxy", Command(("/usr/bin/killall", "-0", "haproxy"), root), 2.0, 2.0, 2, False, 2, 2),),
        routers=(
            VirtualRouterConfig(
                name="VI_1",
                interface="eth0",
                family=4,
                vrid=51,
                version=Version.V2,
                priority=101,
                initial_state=InitialState.MASTER,
                addresses=(
                    VirtualAddress(IPv4Address("192.0.2.100"), 24, "eth0", label="eth0:vip"),
                    VirtualAddress(IPv4Address("192.0.2.101"), 32, "eth0"),
                ),
                multicast_group=IPv4Address("224.0.0.18"),
                authentication=Authentication(b"1111\0\0\0\0"),
                tracked_checks=(TrackedCheck("chk_haproxy", 2),),
                notify=NotifyScripts(master=Command(("/etc/keepalived/master.sh", "to master"), root)),
            ),
        ),
        source=FILE,
    )
    no_mail = "has no effect: no mail is sent; use a notify script"
    assert warnings(HAPROXY_PAIR) == [
        f"keepalived.conf:4: warning: notification_email {no_mail}",
        f"keepalived.conf:7: warning: notification_email_from {no_mail}",
        f"keepalived.conf:8: warning: smtp_server {no_mail}",
        f"keepalived.conf:9: warning: smtp_connect_timeout {no_mail}",
        "keepalived.conf:43: warning: virtual_server belongs to keepalived's load balancer: skipped, "
        "vrrpd is VRRP only",
    ]


def test_a_unicast_pair_in_a_cloud_from_one_file() -> None:
    first, second = (read(UNICAST_PAIR_IN_A_CLOUD, config_id=name) for name in "ab")
    assert first.checks == (Check("web", TcpTarget("127.0.0.1", 443), fall=3),)
    assert first.routers == (
        VirtualRouterConfig(
            name="cloud",
            interface="ens5",
            family=4,
            vrid=10,
            version=Version.V3,
            priority=150,
            advertisement_interval=20,
            initial_state=InitialState.BACKUP,
            preempt=False,
            addresses=(VirtualAddress(IPv4Address("192.0.2.10"), 32, "ens5"),),
            source_address=IPv4Address("192.0.2.11"),
            multicast_group=None,
            unicast_peers=(UnicastPeer(IPv4Address("192.0.2.12")),),
            tracked_checks=(TrackedCheck("web"),),
            notify=NotifyScripts(any_change=Command(("/usr/local/bin/assign-floating-ip", "--region", "eu"))),
        ),
    )
    assert second.routers[0].priority == 100
    assert second.routers[0].source_address == IPv4Address("192.0.2.12")
    assert second.routers[0].unicast_peers == (UnicastPeer(IPv4Address("192.0.2.11")),)


def test_an_ipv6_pair() -> None:
    assert read(IPV6_PAIR).routers == (
        VirtualRouterConfig(
            name="v6",
            interface="bond0.100",
            family=6,
            vrid=6,
            version=Version.V3,
            priority=200,
            advertisement_interval=50,
            preempt_delay=30.0,
            addresses=(
                VirtualAddress(IPv6Address("fe80::6"), 128, "bond0.100", preferred_lifetime=0),
                VirtualAddress(IPv6Address("2001:db8::1"), 64, "bond0.100"),
            ),
            excluded_addresses=(
                VirtualAddress(IPv4Address("192.0.2.1"), 24, "bond0.100", broadcast=IPv4Address("192.0.2.255")),
            ),
            multicast_group=IPv6Address("ff02::12"),
            announcements=AnnouncementPolicy(AnnouncementTimes(refresh=60.0)),
        ),
    )
    assert warnings(IPV6_PAIR) == []


def test_a_file_as_the_ipfailover_image_makes_it() -> None:
    configuration = read(OPENSHIFT_LIKE)
    assert configuration.checks == (
        Check("chk_OpenShift_IPFailover", TcpTarget("192.0.2.5", 80), interval=2.0, timeout=2.0),
    )
    first, second = configuration.routers
    assert first.authentication == Authentication(b"OpenShif")
    assert (first.initial_state, first.preempt_delay) == (InitialState.MASTER, 0.0)
    assert (second.initial_state, second.preempt_delay) == (InitialState.BACKUP, 300.0)
    told = warnings(OPENSHIFT_LIKE)
    assert (
        "keepalived.conf:24: warning: (OpenShift_IPFailover_VIP_1) preempt_delay is dropped: "
        "state is MASTER; it works with state BACKUP"
    ) in told
    assert "keepalived.conf:28: warning: auth_pass is 20 bytes long: only the first 8 count" in told


def test_every_example_means_the_same_when_it_is_printed() -> None:
    for text in (HAPROXY_PAIR, UNICAST_PAIR_IN_A_CLOUD, IPV6_PAIR, OPENSHIFT_LIKE):
        configuration, _ = parse(text, file=FILE, config_id="a")
        printed = to_keepalived_conf(configuration)
        assert parse(printed, file=FILE)[0] == configuration
